//! Outlook's Autodiscover in XML (\[MS-OXDSCLI\]).

use rmail_proto::http::{Response, Status};

use super::{
    Asked, Server, ServerTls, Site, parse_address,
    request::{AutodiscoverRequest, read_request},
    respond,
    xml::Xml,
};
use crate::api::error::Occasion;

const ENVELOPE: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const SETTINGS: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// What is wrong with a request. It is told with 200.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// 500
    AddressNotFound,
    /// 600
    InvalidRequest,
    /// 601
    UnknownSchema,
}

/// Answers `/autodiscover/autodiscover.xml`: a POST with its body, a GET without. Whatever
/// comes, the answer is one of the protocol's documents.
pub fn autodiscover(site: &Site, body: Option<&[u8]>, occasion: &Occasion<'_>) -> Response {
    let asked = body
        .ok_or(Fault::InvalidRequest)
        .and_then(|body| read(site, body));
    let document = match asked {
        Ok(asked) => settings(site, &asked),
        Err(fault) => error(fault, occasion),
    };
    respond(Status::OK, "text/xml; charset=utf-8", document)
}

fn read(site: &Site, body: &[u8]) -> Result<Asked, Fault> {
    let AutodiscoverRequest { address, schema } =
        read_request(body).ok_or(Fault::InvalidRequest)?;
    if schema.is_some_and(|schema| !schema.eq_ignore_ascii_case(SETTINGS)) {
        return Err(Fault::UnknownSchema);
    }
    let (address, domain) = parse_address(&address).ok_or(Fault::InvalidRequest)?;
    let domain = site.hosted(&domain).ok_or(Fault::AddressNotFound)?;
    Ok(Asked {
        address,
        domain: domain.clone(),
    })
}

fn settings(site: &Site, asked: &Asked) -> String {
    let mut xml = Xml::new();
    xml.open("Autodiscover", &[("xmlns", ENVELOPE)]);
    xml.open("Response", &[("xmlns", SETTINGS)]);
    xml.open("User", &[]);
    xml.leaf("DisplayName", &asked.address);
    xml.close();
    xml.open("Account", &[]);
    xml.leaf("AccountType", "email");
    xml.leaf("Action", "settings");
    for server in &site.incoming {
        write_protocol(&mut xml, site, asked, "IMAP", *server);
        xml.close();
    }
    for server in &site.outgoing {
        write_protocol(&mut xml, site, asked, "SMTP", *server);
        xml.leaf("UsePOPAuth", "off");
        xml.leaf("SMTPLast", "off");
        xml.close();
    }
    xml.finish()
}

/// What both protocols have; the element stays open.
fn write_protocol(xml: &mut Xml, site: &Site, asked: &Asked, kind: &str, server: Server) {
    xml.open("Protocol", &[]);
    xml.leaf("Type", kind);
    xml.leaf("Server", site.hostname.as_str());
    xml.leaf("Port", &server.port.to_string());
    xml.leaf("DomainRequired", "off");
    xml.leaf("LoginName", &asked.address);
    xml.leaf("SPA", "off");
    xml.leaf("SSL", "on");
    xml.leaf(
        "Encryption",
        match server.tls {
            ServerTls::Implicit => "SSL",
            ServerTls::StartTls => "TLS",
        },
    );
    xml.leaf("AuthRequired", "on");
}

fn error(fault: Fault, occasion: &Occasion<'_>) -> String {
    let (code, message) = match fault {
        Fault::AddressNotFound => ("500", "The email address can't be found."),
        Fault::InvalidRequest => ("600", "Invalid Request"),
        Fault::UnknownSchema => ("601", "Requested schema version not supported"),
    };
    let seconds = occasion.now.unix.0.rem_euclid(24 * 60 * 60);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let time = format!("{hour:02}:{minute:02}:{second:02}.0000000");
    let [.., a, b, c, d] = occasion.id.0.to_be_bytes();
    let id = u32::from_be_bytes([a, b, c, d]).to_string();
    let mut xml = Xml::new();
    xml.open("Autodiscover", &[("xmlns", ENVELOPE)]);
    xml.open("Response", &[]);
    xml.open("Error", &[("Time", &time), ("Id", &id)]);
    xml.leaf("ErrorCode", code);
    xml.leaf("Message", message);
    xml.empty("DebugData");
    xml.finish()
}
