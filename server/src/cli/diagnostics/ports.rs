//! Phase 4: who listens, what greets, and with which certificate.

use rustls::pki_types::CertificateDer;

use super::{
    api::ApiClient,
    doors::{Door, Doors, Protocol, Tools},
    imap_client::ImapClient,
    report::Findings,
    smtp_client::SmtpClient,
    trouble::Trouble,
};
use crate::{config::Config, node::ListenerKind};

/// Looks at each listener of the configuration.
pub(super) fn check(
    config: &Config,
    tools: &Tools,
    certificate: Option<&CertificateDer<'static>>,
    findings: &mut Findings,
) -> Doors {
    let mut doors = Doors::default();
    let all = Door::all(config);
    for protocol in [Protocol::Smtp, Protocol::Imap, Protocol::Api] {
        for kind in protocol.kinds() {
            let Some(door) = all.iter().find(|door| door.kind == *kind) else {
                findings.ok(format!("{}: off, as {} is 0", kind.name(), kind.port_key()));
                continue;
            };
            let outcome = match knock(config, tools, door, certificate.is_some()) {
                Ok(evidence) => {
                    let tls = match certificate.is_some() && *kind != ListenerKind::Http {
                        true => "; TLS with the certificate of phase 3",
                        false => "",
                    };
                    findings.ok(format!("{door}: {evidence}{tls}"));
                    Ok(())
                }
                Err(trouble) => {
                    findings.trouble(&format!("{door}, {}", kind.port_key()), &trouble);
                    Err(trouble.remedy())
                }
            };
            doors.note(*door, outcome);
        }
    }
    doors
}

/// Connects, listens to the greeting, and encrypts, if the certificate is known.
fn knock(
    config: &Config,
    tools: &Tools,
    door: &Door,
    is_tls_known: bool,
) -> Result<String, Trouble> {
    if door.kind.is_implicit_tls() && !is_tls_known {
        tools.dialer.dial(door.address)?;
        return Ok("somebody listens; TLS can't be tried without a certificate".to_owned());
    }
    let hostname = config.hostname.as_str();
    let greeting = match door.kind {
        ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Smtps => {
            let (mut client, greeting) = SmtpClient::connect(tools, door)?;
            if is_tls_known && !door.kind.is_implicit_tls() {
                client = client.start_tls()?;
            }
            client.ask("QUIT")?;
            greeting.to_string()
        }
        ListenerKind::Imap | ListenerKind::Imaps => {
            let (mut client, greeting) = ImapClient::connect(tools, door)?;
            if is_tls_known && !door.kind.is_implicit_tls() {
                client = client.start_tls()?;
            }
            client.ask("LOGOUT")?;
            greeting
        }
        ListenerKind::Http | ListenerKind::Https => {
            let answer = ApiClient::new(tools, config, door).get("/health", None)?;
            let told = answer.content.trim().to_owned();
            return match answer.status {
                200 => Ok(told),
                status => Err(Trouble::Answer(format!("{status} {told}"))),
            };
        }
    };
    match greeting.contains(hostname) {
        true => Ok(greeting),
        false => Err(Trouble::Answer(format!(
            "{greeting}, which is not the greeting of {hostname}"
        ))),
    }
}
