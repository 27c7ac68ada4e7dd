//! Thunderbird's autoconfig, version 1.1: also of Evolution, KMail, K-9 and others.

use rmail_proto::http::{Response, Status};

use super::{Asked, Server, ServerTls, Site, address_option, respond, xml::Xml};
use crate::api::{error::ApiError, odata::Options};

/// Answers `GET /mail/config-v1.1.xml` and its well-known twin. `host`: the name in `Host`,
/// without its port.
///
/// # Errors
///
/// `bad_request` for a query or an address that is none, `path_not_found` for an address of a
/// foreign domain.
pub fn autoconfig(site: &Site, query: &str, host: Option<&str>) -> Result<Response, ApiError> {
    let options = Options::parse(query)?;
    let domain = match address_option(&options, "emailaddress") {
        Some(address) => {
            let Asked { domain, .. } = site.asked(&address)?;
            domain
        }
        None => {
            let host = host.unwrap_or_default();
            let prefixes = ["autoconfig.", "mail.", ""];
            let names = prefixes
                .iter()
                .filter_map(|prefix| host.strip_prefix(prefix));
            let named = names.filter_map(|name| site.hosted(name)).next();
            named
                .or(site.domains.first())
                .cloned()
                .expect("a domain is hosted")
        }
    };
    let mut xml = Xml::new();
    xml.open("clientConfig", &[("version", "1.1")]);
    xml.open("emailProvider", &[("id", domain.as_str())]);
    xml.leaf("domain", domain.as_str());
    xml.leaf("displayName", &format!("{domain} Mail"));
    xml.leaf("displayShortName", domain.as_str());
    for server in &site.incoming {
        write_server(&mut xml, site, ("incomingServer", "imap"), *server);
    }
    for server in &site.outgoing {
        write_server(&mut xml, site, ("outgoingServer", "smtp"), *server);
    }
    Ok(respond(Status::OK, "text/xml; charset=utf-8", xml.finish()))
}

fn write_server(
    xml: &mut Xml,
    site: &Site,
    (element, kind): (&'static str, &'static str),
    server: Server,
) {
    xml.open(element, &[("type", kind)]);
    xml.leaf("hostname", site.hostname.as_str());
    xml.leaf("port", &server.port.to_string());
    xml.leaf(
        "socketType",
        match server.tls {
            ServerTls::Implicit => "SSL",
            ServerTls::StartTls => "STARTTLS",
        },
    );
    // PLAIN and LOGIN, within TLS.
    xml.leaf("authentication", "password-cleartext");
    xml.leaf("username", "%EMAILADDRESS%");
    xml.close();
}
