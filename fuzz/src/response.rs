//! A strict reader of what an IMAP server sends (RFC 3501 §7, §9), written apart from the writers.

/// A value of a response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    /// `NIL`
    Nil,
    /// An atom or a number, or the name of an item: `BODY[HEADER.FIELDS (Date)]<0>`.
    Atom(String),
    /// A quoted string or a literal.
    Text(Vec<u8>),
    /// `(...)`
    List(Vec<Value>),
}

/// One response without its CRLF.
#[derive(Debug)]
pub(crate) enum Response {
    /// `+ ...`
    Continuation,
    /// `tag OK ...`, without a tag for `*`.
    Status(Option<String>),
    /// `* ...`: its values.
    Data(Vec<Value>),
}

/// The values of a text, separated by single spaces; `None` when it is not well formed.
pub(crate) fn parse_values(text: &[u8]) -> Option<Vec<Value>> {
    let mut reader = Reader(text);
    let values = reader.values()?;
    reader.0.is_empty().then_some(values)
}

/// All responses of a stream that ends with one.
///
/// # Panics
///
/// Where it is not well formed.
pub(crate) fn parse_stream(sent: &[u8]) -> Vec<Response> {
    let mut reader = Reader(sent);
    let mut responses = Vec::new();
    while !reader.0.is_empty() {
        let rest = reader.0;
        let response = reader.response();
        let shown = String::from_utf8_lossy(&rest[..rest.len().min(2000)]);
        let response = response.unwrap_or_else(|| panic!("not well formed: {shown:?}"));
        if let Response::Data(values) = &response {
            check_fetch(values).unwrap_or_else(|| panic!("no such data: {shown:?}"));
        }
        responses.push(response);
    }
    responses
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, start: &[u8]) -> bool {
        let rest = self.0.strip_prefix(start);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take_while(&mut self, kind: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !kind(byte));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    fn response(&mut self) -> Option<Response> {
        if self.take(b"+ ") {
            return self.text().map(|()| Response::Continuation);
        }
        let tag = self.take_while(is_astring_char_or_star);
        let tag = std::str::from_utf8(tag)
            .ok()
            .filter(|tag| !tag.is_empty())?;
        if !self.take(b" ") {
            return None;
        }
        for condition in ["OK ", "NO ", "BAD ", "BYE ", "PREAUTH "] {
            if self.take(condition.as_bytes()) {
                self.text()?;
                return Some(Response::Status((tag != "*").then(|| tag.to_owned())));
            }
        }
        let values = self.values()?;
        (tag == "*" && self.take(b"\r\n")).then_some(Response::Data(values))
    }

    /// `text CRLF`
    fn text(&mut self) -> Option<()> {
        let _ = self.take_while(|byte| (b' '..=b'~').contains(&byte));
        self.take(b"\r\n").then_some(())
    }

    fn values(&mut self) -> Option<Vec<Value>> {
        let mut values = vec![self.value()?];
        while self.take(b" ") {
            values.push(self.value()?);
        }
        Some(values)
    }

    fn value(&mut self) -> Option<Value> {
        if self.take(b"()") {
            return Some(Value::List(Vec::new()));
        }
        if self.take(b"(") {
            let mut values = vec![self.value()?];
            while !self.take(b")") {
                // A multipart's bodies, and a field's addresses, follow each other directly.
                let is_list = matches!(values.last(), Some(Value::List(_)));
                (self.take(b" ") || is_list && self.0.starts_with(b"(")).then_some(())?;
                values.push(self.value()?);
            }
            return Some(Value::List(values));
        }
        if self.take(b"\"") {
            return self.quoted().map(Value::Text);
        }
        if self.take(b"{") {
            let digits = std::str::from_utf8(self.take_while(|byte| byte.is_ascii_digit()));
            let size_bytes: usize = digits.ok()?.parse().ok()?;
            if !self.take(b"}\r\n") {
                return None;
            }
            let (literal, rest) = self.0.split_at_checked(size_bytes)?;
            self.0 = rest;
            return Some(Value::Text(literal.into()));
        }
        self.atom()
    }

    /// `*QUOTED-CHAR DQUOTE` (RFC 3501 §9): 7-bit, and on one line.
    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return Some(text),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    matches!(escaped, b'"' | b'\\').then(|| text.push(escaped))?;
                }
                b'\r' | b'\n' | 0 | 0x80.. => return None,
                byte => text.push(byte),
            }
        }
    }

    fn atom(&mut self) -> Option<Value> {
        let start = self.0;
        if !self.take_section() {
            // Flags begin with a backslash, and `\*` is one.
            let _ = self.take(b"\\");
            let _ = self.take_while(is_astring_char_or_star);
        }
        let atom = &start[..start.len() - self.0.len()];
        match atom {
            b"" => None,
            b"NIL" => Some(Value::Nil),
            atom => String::from_utf8(atom.into()).ok().map(Value::Atom),
        }
    }

    /// Whether the name of a section came: `BODY[1.HEADER.FIELDS (a "b")]<0>`. A mailbox's name
    /// may begin as one does.
    fn take_section(&mut self) -> bool {
        let start = self.0;
        let mut section = || {
            self.take(b"BODY[").then_some(())?;
            let _ = self.take_while(|byte| is_astring_char_or_star(byte) && byte != b']');
            if self.take(b" ") {
                self.value()?;
            }
            self.take(b"]").then_some(())?;
            let _ = self.take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'<' | b'>'));
            (!self.0.first().copied().is_some_and(is_astring_char_or_star)).then_some(())
        };
        let found = section().is_some();
        if !found {
            self.0 = start;
        }
        found
    }
}

fn is_astring_char_or_star(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'"' | b'\\')
}

/// `n FETCH (...)` has names and values in turn, of the right shape. Other data passes.
fn check_fetch(values: &[Value]) -> Option<()> {
    let [Value::Atom(_), Value::Atom(name), Value::List(items)] = values else {
        return Some(());
    };
    if name != "FETCH" {
        return Some(());
    }
    for pair in items.chunks(2) {
        let [Value::Atom(name), value] = pair else {
            return None;
        };
        match name.as_str() {
            // What stands in the first three is the scanner's: see `check_envelope`, `check_body`.
            "ENVELOPE" | "BODY" | "BODYSTRUCTURE" | "FLAGS" | "MODSEQ" | "EMAILID" => {
                as_list(value).map(|_| ())?
            }
            name if name.starts_with("BODY[") || name.starts_with("RFC822") => {
                let is_size = name == "RFC822.SIZE";
                match is_size {
                    true => check_number(value)?,
                    false => check_nstring(value)?,
                }
            }
            _ => {}
        }
    }
    Some(())
}

fn as_list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(values) => Some(values),
        Value::Nil | Value::Atom(_) | Value::Text(_) => None,
    }
}

fn check_nstring(value: &Value) -> Option<()> {
    matches!(value, Value::Nil | Value::Text(_)).then_some(())
}

fn check_string(value: &Value) -> Option<()> {
    matches!(value, Value::Text(_)).then_some(())
}

fn check_number(value: &Value) -> Option<()> {
    match value {
        Value::Atom(digits) => digits.parse::<u64>().ok().map(drop),
        Value::Nil | Value::Text(_) | Value::List(_) => None,
    }
}

/// ```abnf
/// envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP
///            env-cc SP env-bcc SP env-in-reply-to SP env-message-id ")"
/// env-from = "(" 1*address ")" / nil
/// address  = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"   ; nstrings
/// ```
pub(crate) fn check_envelope(value: &Value) -> Option<()> {
    let fields: &[Value; 10] = as_list(value)?.try_into().ok()?;
    for (index, field) in fields.iter().enumerate() {
        if !(2..8).contains(&index) {
            check_nstring(field)?;
            continue;
        }
        if *field == Value::Nil {
            continue;
        }
        let addresses = as_list(field)?;
        for address in addresses {
            let address: &[Value; 4] = as_list(address)?.try_into().ok()?;
            address.iter().try_for_each(check_nstring)?;
        }
        (!addresses.is_empty()).then_some(())?;
    }
    Some(())
}

/// Returns how many parts it has in all, a message within and its body counted apart.
///
/// ```abnf
/// body            = "(" (body-type-1part / body-type-mpart) ")"
/// body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
/// body-ext-mpart  = body-fld-param [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
/// body-type-1part = string SP string SP body-fld-param SP nstring SP nstring SP string SP number
///                   [SP envelope SP body SP number / SP number] [SP body-ext-1part]
/// body-ext-1part  = nstring [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
/// ```
pub(crate) fn check_body(value: &Value, extended: bool) -> Option<usize> {
    let values = as_list(value)?;
    let bodies = values.iter().take_while(|value| as_list(value).is_some());
    let count = bodies.count();
    if count > 0 {
        let mut parts = 1;
        for body in &values[..count] {
            parts += check_body(body, extended)?;
        }
        let [subtype, extension @ ..] = &values[count..] else {
            return None;
        };
        check_string(subtype)?;
        match extension {
            [] if !extended => {}
            [parameters, rest @ ..] if extended => {
                check_parameters(parameters)?;
                check_extension(rest)?;
            }
            _ => return None,
        }
        return Some(parts);
    }
    let [
        kind,
        subtype,
        parameters,
        id,
        description,
        encoding,
        octets,
        rest @ ..,
    ] = values
    else {
        return None;
    };
    let (Value::Text(kind), Value::Text(subtype)) = (kind, subtype) else {
        return None;
    };
    check_parameters(parameters)?;
    check_nstring(id)?;
    check_nstring(description)?;
    check_string(encoding)?;
    check_number(octets)?;
    let is = |value: &[u8], name: &str| value.eq_ignore_ascii_case(name.as_bytes());
    let mut parts = 1;
    let extension = if is(kind, "message") && is(subtype, "rfc822") {
        let [envelope, body, lines, extension @ ..] = rest else {
            return None;
        };
        check_envelope(envelope)?;
        parts += check_body(body, extended)?;
        check_number(lines)?;
        extension
    } else if is(kind, "text") {
        let [lines, extension @ ..] = rest else {
            return None;
        };
        check_number(lines)?;
        extension
    } else {
        rest
    };
    match extension {
        [] if !extended => {}
        [md5, rest @ ..] if extended => {
            check_nstring(md5)?;
            check_extension(rest)?;
        }
        _ => return None,
    }
    Some(parts)
}

/// Disposition, language and location, all of which are there.
fn check_extension(values: &[Value]) -> Option<()> {
    let [disposition, language, location] = values else {
        return None;
    };
    if *disposition != Value::Nil {
        let [kind, parameters] = as_list(disposition)? else {
            return None;
        };
        check_string(kind)?;
        check_parameters(parameters)?;
    }
    match language {
        Value::List(languages) => languages.iter().try_for_each(check_string)?,
        Value::Nil | Value::Text(_) => {}
        Value::Atom(_) => return None,
    }
    check_nstring(location)
}

/// `"(" string SP string *(SP string SP string) ")" / nil`
fn check_parameters(value: &Value) -> Option<()> {
    if *value == Value::Nil {
        return Some(());
    }
    let values = as_list(value)?;
    values.iter().try_for_each(check_string)?;
    (!values.is_empty() && values.len() % 2 == 0).then_some(())
}
