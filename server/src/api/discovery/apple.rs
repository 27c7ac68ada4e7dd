//! Apple's configuration profile: a property list that iOS and macOS make an account from.

use aws_lc_rs::digest;
use rmail_proto::http::{FieldName, FieldValue, Response, Status};

use super::{Asked, Server, Site, address_option, respond, xml::Xml};
use crate::api::{error::ApiError, odata::Options, token::write_guid};

const DOCUMENT_TYPE: &str = "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
    \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">";

/// The name space of DNS names (RFC 9562 §6.6).
const NAMESPACE_DNS: u128 = 0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8;

/// Answers `GET /email.mobileconfig`. The profile has no password in it.
///
/// # Errors
///
/// `bad_request` without an address, `path_not_found` for one of a foreign domain, and when mail
/// can't be read or sent.
pub fn mobileconfig(site: &Site, query: &str) -> Result<Response, ApiError> {
    let options = Options::parse(query)?;
    let asked = site.asked(&address_option(&options, "email").unwrap_or_default())?;
    let (Some(incoming), Some(outgoing)) = (site.incoming.first(), site.outgoing.first()) else {
        return Err(ApiError::path_not_found());
    };
    let content = profile(site, &asked, *incoming, *outgoing);
    let name = format!("attachment; filename=\"{}.mobileconfig\"", asked.domain);
    // A name that is not ASCII can't be said in a field.
    let name = FieldValue::parse(name).unwrap_or(FieldValue::from_static(
        "attachment; filename=\"mail.mobileconfig\"",
    ));
    let response = respond(Status::OK, "application/x-apple-aspen-config", content);
    Ok(response.with(FieldName::new("Content-Disposition"), name))
}

fn profile(site: &Site, asked: &Asked, incoming: Server, outgoing: Server) -> String {
    let uuid = |use_of: &str| {
        let address = asked.address.to_lowercase();
        write_guid(uuid_v5(&format!("{use_of}/{}/{address}", site.hostname))).to_uppercase()
    };
    // A profile takes the place of another with its identifier, so each account has its own.
    let mut labels: Vec<&str> = asked.domain.as_str().split('.').collect();
    labels.reverse();
    let identifier = format!("{}.mail.{}", labels.join("."), uuid("profile"));
    let organization = format!("{} Mail", asked.domain);
    let mut plist = Plist(Xml::with_document_type(DOCUMENT_TYPE));
    plist.0.open("plist", &[("version", "1.0")]);
    plist.0.open("dict", &[]);
    plist.0.leaf("key", "PayloadContent");
    plist.0.open("array", &[]);
    plist.0.open("dict", &[]);
    plist.text("EmailAccountDescription", &organization);
    plist.text("EmailAccountName", &asked.address);
    plist.text("EmailAccountType", "EmailTypeIMAP");
    plist.text("EmailAddress", &asked.address);
    plist.server(site, asked, incoming, &INCOMING);
    plist.server(site, asked, outgoing, &OUTGOING);
    plist.boolean("OutgoingPasswordSameAsIncomingPassword", true);
    plist.text("PayloadIdentifier", &format!("{identifier}.account"));
    plist.text("PayloadType", "com.apple.mail.managed");
    plist.text("PayloadUUID", &uuid("account"));
    plist.integer("PayloadVersion", 1);
    plist.0.close();
    plist.0.close();
    plist.text("PayloadDisplayName", &organization);
    plist.text("PayloadIdentifier", &identifier);
    plist.text("PayloadOrganization", asked.domain.as_str());
    plist.boolean("PayloadRemovalDisallowed", false);
    plist.text("PayloadType", "Configuration");
    plist.text("PayloadUUID", &uuid("profile"));
    plist.integer("PayloadVersion", 1);
    plist.0.finish()
}

/// Keys of one server: authentication, name, port, TLS, user.
type ServerKeys = [&'static str; 5];

const INCOMING: ServerKeys = [
    "IncomingMailServerAuthentication",
    "IncomingMailServerHostName",
    "IncomingMailServerPortNumber",
    "IncomingMailServerUseSSL",
    "IncomingMailServerUsername",
];

const OUTGOING: ServerKeys = [
    "OutgoingMailServerAuthentication",
    "OutgoingMailServerHostName",
    "OutgoingMailServerPortNumber",
    "OutgoingMailServerUseSSL",
    "OutgoingMailServerUsername",
];

/// The entries of a dictionary.
struct Plist(Xml);

impl Plist {
    fn text(&mut self, key: &'static str, value: &str) {
        self.0.leaf("key", key);
        self.0.leaf("string", value);
    }

    fn integer(&mut self, key: &'static str, value: u16) {
        self.0.leaf("key", key);
        self.0.leaf("integer", &value.to_string());
    }

    fn boolean(&mut self, key: &'static str, value: bool) {
        self.0.leaf("key", key);
        self.0.empty(if value { "true" } else { "false" });
    }

    /// Whether TLS begins with the connection or with STARTTLS, the client finds out by the port.
    fn server(&mut self, site: &Site, asked: &Asked, server: Server, keys: &ServerKeys) {
        let [authentication, hostname, port, tls, username] = *keys;
        self.text(authentication, "EmailAuthPassword");
        self.text(hostname, site.hostname.as_str());
        self.integer(port, server.port);
        self.boolean(tls, true);
        self.text(username, &asked.address);
    }
}

/// A UUID of a name (RFC 9562 §5.5).
fn uuid_v5(name: &str) -> u128 {
    let bytes = [&NAMESPACE_DNS.to_be_bytes()[..], name.as_bytes()].concat();
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let hash = hash
        .as_ref()
        .first_chunk()
        .expect("20 bytes are more than 16");
    let number = u128::from_be_bytes(*hash);
    let (version, variant) = (0x5 << 76, 0b10 << 62);
    number & !(0xf << 76) & !(0b11 << 62) | version | variant
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_those_of_the_rfc() {
        // RFC 9562, appendix A.4.
        let uuid = write_guid(uuid_v5("www.example.com"));
        assert_eq!(uuid, "2ed6657d-e927-568b-95e1-2665a8aea6a2");
    }
}
