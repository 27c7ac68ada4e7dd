//! The lexical level of the grammar (RFC 3501 §9).

/// `ASTRING-CHAR`: what an astring may hold without quotes.
///
/// ```abnf
/// ASTRING-CHAR   = ATOM-CHAR / resp-specials
/// ATOM-CHAR      = <any CHAR except atom-specials>
/// atom-specials  = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
/// list-wildcards = "%" / "*"    ; quoted-specials = DQUOTE / "\"    ; resp-specials = "]"
/// ```
pub(super) fn is_astring_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\')
}
