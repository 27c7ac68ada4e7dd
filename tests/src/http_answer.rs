//! An answer over HTTP, read without the room that RFC 9112 leaves to recipients.

use serde_json::Value;

/// What the server answered.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The fields, their names in lower case.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// The value of a field, its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The content, which must be text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the content is UTF-8")
    }

    /// The content, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Asserts the status.
    pub fn expect(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        self
    }

    /// Whether no other answer follows on its connection.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }

    /// Reads the lines of a head, the empty one not among them, of the answer to a request with
    /// this method; also says how many bytes of content follow. The server tells the length of
    /// everything: an answer whose end is not known by it is an error.
    ///
    /// # Errors
    ///
    /// What is not as RFC 9112 §4 to §6 has it.
    pub(crate) fn parse_head(lines: &[String], method: &str) -> Result<(Self, usize), String> {
        let (line, fields) = lines.split_first().ok_or("there is no status line")?;
        let status = parse_status_line(line).ok_or_else(|| format!("a status line: {line}"))?;
        let fields: Result<Vec<_>, String> = fields
            .iter()
            .map(|line| parse_field(line).ok_or_else(|| format!("a field: {line}")))
            .collect();
        let answer = Self {
            status,
            fields: fields?,
            body: Vec::new(),
        };
        let length = answer.content_length(method)?;
        Ok((answer, length))
    }

    /// How many bytes follow the head (RFC 9112 §6.3).
    fn content_length(&self, method: &str) -> Result<usize, String> {
        let named = |name: &str| self.fields.iter().filter(|field| field.0 == name).count();
        let once = ["content-length", "content-type", "connection", "date"];
        if let Some(name) = once.iter().find(|name| named(name) > 1) {
            return Err(format!("{name} comes twice"));
        }
        if named("transfer-encoding") > 0 {
            return Err("an answer in chunks".to_owned());
        }
        let length = match self.field("content-length") {
            None => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse::<usize>().map_err(|error| error.to_string())?)
            }
            Some(text) => return Err(format!("a length: {text}")),
        };
        match (self.status, length) {
            // RFC 9110 §8.6
            (100..=199 | 204, Some(_)) => Err("a length where there is no content".to_owned()),
            (100..=199 | 204 | 304, _) => Ok(0),
            (_, _) if method == "HEAD" => Ok(0),
            (_, Some(length)) => Ok(length),
            (_, None) => Err("the end is not known".to_owned()),
        }
    }
}

fn parse_status_line(line: &str) -> Option<u16> {
    let (code, reason) = line.strip_prefix("HTTP/1.1 ")?.split_once(' ')?;
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    (is_code && !reason.chars().any(char::is_control)).then(|| code.parse().ok())?
}

/// `Name: value`, with one space and nothing behind.
fn parse_field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(": ")?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let is_name = !name.is_empty() && name.chars().all(is_token);
    let is_value = value.trim() == value && !value.chars().any(char::is_control);
    (is_name && is_value).then(|| (name.to_ascii_lowercase(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length_of(head: &str, method: &str) -> Result<usize, String> {
        let lines: Vec<String> = head.split('\n').map(str::to_owned).collect();
        HttpAnswer::parse_head(&lines, method).map(|(_, length)| length)
    }

    #[test]
    fn length_of_the_content_is_what_the_head_says() {
        let ok = "HTTP/1.1 200 OK\nContent-Length: 5";
        assert_eq!(length_of(ok, "GET"), Ok(5));
        assert_eq!(length_of(ok, "HEAD"), Ok(0));
        assert_eq!(length_of("HTTP/1.1 204 No Content", "DELETE"), Ok(0));
        assert_eq!(length_of("HTTP/1.1 304 Not Modified", "GET"), Ok(0));
    }

    #[test]
    fn whatever_two_could_read_differently_is_refused() {
        let heads = [
            "HTTP/1.0 200 OK\nContent-Length: 5",
            "HTTP/1.1 200\nContent-Length: 5",
            "HTTP/1.1 20 OK\nContent-Length: 5",
            "HTTP/1.1 200 OK\nContent-Length : 5",
            "HTTP/1.1 200 OK\nContent-Length: +5",
            "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5",
            "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked",
            "HTTP/1.1 200 OK\nContent-Length: 5\n folded",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 204 No Content\nContent-Length: 0",
        ];
        for head in heads {
            assert!(length_of(head, "GET").is_err(), "{head}");
        }
    }
}
