//! Exim.

use std::{path::Path, process::Command};

use super::{OWNER, PeerKind, PeerSetup, environment, make_folder, prefix, write_file};

/// Its configuration is Exim's defaults but for places, ports, logins and limits of size. The
/// certificate is one that it makes for itself.
pub(super) fn prepare(folder: &Path, setup: &PeerSetup<'_>) -> Command {
    let binary = prefix().join("usr/sbin/exim4");
    make_folder(folder, "spool", OWNER);
    write_file(folder, "exim.conf", &configuration(folder, &binary, setup));
    let mut command = Command::new(binary);
    command.arg("-C").arg(folder.join("exim.conf")).arg("-bdf");
    command
}

fn configuration(folder: &Path, binary: &Path, setup: &PeerSetup<'_>) -> String {
    let kept = environment(folder).map(|(name, _)| name).join(":");
    let (folder, binary) = (folder.display(), binary.display());
    let domain = PeerKind::Exim.domain();
    let PeerSetup {
        port,
        example_com,
        loop_example,
        login: (user, password),
        ..
    } = setup;
    format!(
        r#"exim_path = {binary}
primary_hostname = mx.{domain}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
exim_user = Debian-exim
exim_group = Debian-exim
deliver_drop_privilege = true
keep_environment = {kept}
host_lookup =
rfc1413_hosts =
tls_advertise_hosts = *
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
message_size_limit = 20M
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = acl_rcpt

begin acl

acl_rcpt:
  deny domains = {domain}
       local_parts = nobody
       message = 5.1.1 No such user at Exim
  defer domains = {domain}
        local_parts = later
        condition = ${{if exists{{{folder}/open}}{{no}}{{yes}}}}
        message = 4.7.1 Come back later to Exim
  accept

begin routers

here:
  driver = accept
  domains = {domain}
  transport = box

there:
  driver = manualroute
  domains = example.com
  route_list = * 127.0.0.1
  self = send
  transport = relay

in_circles:
  driver = manualroute
  domains = loop.example
  route_list = * 127.0.0.1
  self = send
  transport = submission

begin transports

box:
  driver = appendfile
  directory = {folder}/box
  maildir_format
  create_directory
  user = Debian-exim
  message_prefix = "Delivered-To: $local_part@$domain\n"
  return_path_add

relay:
  driver = smtp
  port = {example_com}
  allow_localhost

submission:
  driver = smtp
  port = {loop_example}
  allow_localhost
  hosts_require_tls = *
  hosts_require_auth = *

begin authenticators

plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{user}^{password}
"#
    )
}
