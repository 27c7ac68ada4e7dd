//! Postfix.

use std::{
    fs::{self, Permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use super::{
    DROP_GROUP, OWNER, Peer, PeerKind, PeerSetup, environment, isolated, make_folder, prefix,
    write_file,
};

/// What its queue is made of.
const QUEUE_FOLDERS: [&str; 14] = [
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop",
    "private", "public", "saved", "trace", "pid",
];

/// Its configuration is Postfix's defaults but for places, ports, logins and limits of size.
pub(super) fn prepare(folder: &Path, setup: &PeerSetup<'_>) -> Command {
    make_folder(folder, "data", OWNER);
    make_folder(folder, "spool", 0);
    let queue = folder.join("spool");
    for name in QUEUE_FOLDERS {
        make_folder(&queue, name, if name == "pid" { 0 } else { OWNER });
    }
    chown(queue.join("public"), None, Some(DROP_GROUP)).expect("we are root");
    chown(queue.join("maildrop"), None, Some(DROP_GROUP)).expect("we are root");
    let mode = Permissions::from_mode(0o730);
    fs::set_permissions(queue.join("maildrop"), mode).expect("we are root");
    write_file(folder, "main.cf", &main_cf(folder, setup));
    write_file(folder, "master.cf", &master_cf(folder, setup.port));
    write_file(folder, "policy", &policy(folder));
    if let Some(mechanism) = setup.mechanism {
        offer_login(folder, mechanism);
    }
    let mut command = Command::new(prefix().join("usr/lib/postfix/sbin/master"));
    command.arg("-c").arg(folder).arg("-d");
    command
}

fn main_cf(folder: &Path, setup: &PeerSetup<'_>) -> String {
    let imported = environment(folder).map(|(name, _)| name).join(" ");
    let (prefix, tls) = (prefix(), setup.tls.display());
    let (folder, prefix) = (folder.display(), prefix.display());
    let domain = PeerKind::Postfix.domain();
    let PeerSetup {
        example_com,
        loop_example,
        login: (user, password),
        mechanism,
        postfix_settings,
        ..
    } = setup;
    let offers_login = if mechanism.is_some() { "yes" } else { "no" };
    format!(
        "compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
daemon_directory = {prefix}/usr/lib/postfix/sbin
command_directory = {prefix}/usr/sbin
shlib_directory = {prefix}/usr/lib/postfix
meta_directory = {folder}
import_environment = MAIL_CONFIG TZ LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME {imported}
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
myhostname = mx.{domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
message_size_limit = 20000000
virtual_mailbox_limit = 0
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:{OWNER}
virtual_gid_maps = static:{OWNER}
transport_maps = inline:{{ {{example.com = smtp:[127.0.0.1]:{example_com}}},
    {{loop.example = smtp:[127.0.0.1]:{loop_example}}} }}
smtpd_recipient_restrictions =
    check_recipient_access inline:{{ {{nobody@{domain} = 550 5.1.1 No such user at Postfix}} }}
    check_policy_service unix:private/policy
    permit_mynetworks, permit_sasl_authenticated, reject
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject
smtpd_tls_security_level = may
smtpd_tls_chain_files = {tls}/key.pem, {tls}/cert.pem
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtpd_sasl_auth_enable = {offers_login}
smtpd_sasl_authenticated_header = yes
smtpd_sasl_local_domain = {domain}
smtpd_sasl_security_options = noanonymous
smtpd_tls_auth_only = yes
smtp_tls_security_level = may
smtp_tls_loglevel = 1
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = inline:{{ {{[127.0.0.1]:{loop_example} = {user}:{password}}} }}
smtp_sasl_security_options = noanonymous
smtp_sasl_mechanism_filter = plain
{postfix_settings}
"
    )
}

/// The services as they are shipped, without chroot, without those that run others' programs; SMTP
/// on our port alone, and what puts mail for `later` off.
fn master_cf(folder: &Path, port: u16) -> String {
    let shipped = prefix().join("usr/share/postfix/master.cf.dist");
    let shipped = fs::read_to_string(shipped).expect("it was unpacked");
    let own = shipped.lines().filter(|line| !line.starts_with('#'));
    let own = own.take_while(|line| !line.starts_with("maildrop "));
    let mut services = String::new();
    for line in own {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields[..] {
            ["smtp", "inet", ..] => {
                services += &format!("127.0.0.1:{port} inet n - n - - smtpd\n");
            }
            [name, kind, private, unprivileged, _, ref rest @ ..] if kind.starts_with("unix") => {
                let rest = rest.join(" ");
                services += &format!("{name} {kind} {private} {unprivileged} n {rest}\n");
            }
            _ => services += &format!("{line}\n"),
        }
    }
    let script = folder.join("policy");
    services
        + &format!(
            "policy unix - n n - 0 spawn user=nobody argv=/bin/sh {}\n",
            script.display()
        )
}

/// As a greylist does it: it is asked for each recipient, by lines and an empty one.
fn policy(folder: &Path) -> String {
    format!(
        "while read -r line; do
    case $line in
    recipient=*) recipient=$line ;;
    '')
        action=DUNNO
        case $recipient in recipient=later@*)
            [ -e '{}/open' ] || action='DEFER 4.7.1 Come back later to Postfix' ;;
        esac
        printf 'action=%s\\n\\n' \"$action\" ;;
    esac
done
",
        folder.display()
    )
}

/// Logins by Cyrus SASL, against a password database of its own.
fn offer_login(folder: &Path, mechanism: &str) {
    let database = folder.join("sasldb");
    let config = format!(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\nmech_list: {mechanism}\n",
        database.display()
    );
    make_folder(folder, "sasl", 0);
    write_file(folder, "sasl/smtpd.conf", &config);
    let mut command = Command::new(prefix().join("usr/sbin/saslpasswd2"));
    command.args(["-p", "-c", "-u", PeerKind::Postfix.domain(), "-f"]);
    command.arg(&database).arg(Peer::USER);
    let child = isolated(&mut command, folder).stdin(Stdio::piped()).spawn();
    let mut child = child.expect("it was unpacked");
    let mut input = child.stdin.take().expect("it is a pipe");
    let written = input.write_all(Peer::PASSWORD.as_bytes());
    drop(input);
    let status = child.wait().expect("it ends");
    assert!(written.is_ok() && status.success(), "saslpasswd2: {status}");
    chown(database, Some(OWNER), Some(OWNER)).expect("we are root");
}
