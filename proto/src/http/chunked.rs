//! The chunked transfer coding (RFC 9112 §7.1), strictly.

use crate::limits;

/// Takes chunk framing away, byte by byte, so that where input is split changes nothing.
///
/// ```text
/// chunked-body = *chunk last-chunk trailer-section CRLF
/// chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
/// chunk-ext    = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
/// ```
///
/// Extensions and trailers are checked, bounded and dropped.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    stage: Stage,
    /// Of the chunk that is being read.
    size_bytes: u64,
    /// Extensions and trailers so far.
    dropped_bytes: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// In chunk-size, after so many digits.
    Size { digits: u32 },
    /// In chunk-ext.
    Extension(Extension),
    /// After the CR of a chunk's first line.
    SizeCr,
    /// In chunk-data.
    Data { left_bytes: u64 },
    /// After chunk-data.
    DataEnd,
    /// After chunk-data and CR.
    DataCr,
    /// At the start of a trailer line, or of the last line.
    Trailer,
    /// In a trailer field's name.
    TrailerName,
    /// In a trailer field's value.
    TrailerValue,
    /// After the CR of a trailer line.
    TrailerCr,
    /// After the CR of the last line.
    EndCr,
    /// Nothing more belongs to the content.
    Ended,
}

/// Where in a chunk extension the decoder is. White space is "bad": it may stand around `;` and
/// `=`, and nowhere else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extension {
    /// White space before `;`.
    BeforeSemicolon,
    /// After `;`.
    BeforeName,
    Name,
    /// White space after a name: `=` or `;` follows.
    AfterName,
    /// After `=`.
    BeforeValue,
    /// A value that is a token.
    Token,
    /// A value that is a quoted string.
    Quoted,
    /// After a backslash in it.
    QuotedPair,
    /// After its closing quote.
    QuotedEnd,
}

/// The content is not framed as it should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ChunkFault;

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self {
            stage: Stage::Size { digits: 0 },
            size_bytes: 0,
            dropped_bytes: 0,
        }
    }
}

impl ChunkedDecoder {
    /// Hands content to `take`, in order. Returns the bytes consumed, which are all of them unless
    /// the end was found, and whether it was.
    ///
    /// # Errors
    ///
    /// When the framing is malformed; what came before it was handed on.
    pub(super) fn decode(
        &mut self,
        input: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(usize, bool), ChunkFault> {
        let mut index = 0;
        while index < input.len() {
            if self.stage == Stage::Ended {
                return Ok((index, true));
            }
            if let Stage::Data { left_bytes } = &mut self.stage {
                let rest = &input[index..];
                let length = usize::try_from(*left_bytes).unwrap_or(usize::MAX);
                let length = length.min(rest.len());
                take(&rest[..length]);
                index += length;
                *left_bytes -= length as u64;
                if *left_bytes == 0 {
                    self.stage = Stage::DataEnd;
                }
                continue;
            }
            self.stage = self.next_stage(input[index]).ok_or(ChunkFault)?;
            index += 1;
        }
        Ok((input.len(), self.stage == Stage::Ended))
    }

    fn next_stage(&mut self, byte: u8) -> Option<Stage> {
        match (self.stage, byte) {
            (Stage::Size { digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == limits::HTTP_CHUNK_SIZE_DIGITS {
                    return None;
                }
                let digit = char::from(byte).to_digit(16)?;
                self.size_bytes = (self.size_bytes << 4) | u64::from(digit);
                Some(Stage::Size { digits: digits + 1 })
            }
            (Stage::Size { digits: 0 }, _) => None,
            (Stage::Size { .. }, b'\r') => Some(Stage::SizeCr),
            (Stage::Size { .. }, _) => self.drop_extension(Extension::BeforeSemicolon, byte),
            (Stage::Extension(place), b'\r') if place.may_end() => Some(Stage::SizeCr),
            (Stage::Extension(place), _) => self.drop_extension(place, byte),
            (Stage::SizeCr, b'\n') => match core::mem::take(&mut self.size_bytes) {
                0 => Some(Stage::Trailer),
                left_bytes => Some(Stage::Data { left_bytes }),
            },
            (Stage::DataEnd, b'\r') => Some(Stage::DataCr),
            (Stage::DataCr, b'\n') => Some(Stage::Size { digits: 0 }),
            (Stage::Trailer, b'\r') => Some(Stage::EndCr),
            (Stage::Trailer | Stage::TrailerName, _) if is_token_byte(byte) => {
                self.count_dropped(Stage::TrailerName)
            }
            (Stage::TrailerName, b':') => self.count_dropped(Stage::TrailerValue),
            (Stage::TrailerValue, b'\r') => Some(Stage::TrailerCr),
            (Stage::TrailerValue, _) if is_text_byte(byte) => {
                self.count_dropped(Stage::TrailerValue)
            }
            (Stage::TrailerCr, b'\n') => Some(Stage::Trailer),
            (Stage::EndCr, b'\n') => Some(Stage::Ended),
            (
                Stage::SizeCr
                | Stage::Data { .. }
                | Stage::DataEnd
                | Stage::DataCr
                | Stage::Trailer
                | Stage::TrailerName
                | Stage::TrailerValue
                | Stage::TrailerCr
                | Stage::EndCr
                | Stage::Ended,
                _,
            ) => None,
        }
    }

    fn drop_extension(&mut self, place: Extension, byte: u8) -> Option<Stage> {
        let next = place.next(byte)?;
        self.count_dropped(Stage::Extension(next))
    }

    fn count_dropped(&mut self, next: Stage) -> Option<Stage> {
        self.dropped_bytes += 1;
        (self.dropped_bytes <= limits::HTTP_CHUNK_DROPPED_BYTES).then_some(next)
    }
}

impl Extension {
    fn next(self, byte: u8) -> Option<Self> {
        let is_blank = matches!(byte, b' ' | b'\t');
        match self {
            Self::BeforeSemicolon if is_blank => Some(Self::BeforeSemicolon),
            Self::BeforeName if is_blank => Some(Self::BeforeName),
            Self::Name | Self::AfterName if is_blank => Some(Self::AfterName),
            Self::BeforeValue if is_blank => Some(Self::BeforeValue),
            Self::Token | Self::QuotedEnd if is_blank => Some(Self::BeforeSemicolon),
            Self::BeforeSemicolon
            | Self::Name
            | Self::AfterName
            | Self::Token
            | Self::QuotedEnd
                if byte == b';' =>
            {
                Some(Self::BeforeName)
            }
            Self::Name | Self::AfterName if byte == b'=' => Some(Self::BeforeValue),
            Self::BeforeName | Self::Name if is_token_byte(byte) => Some(Self::Name),
            Self::BeforeValue | Self::Token if is_token_byte(byte) => Some(Self::Token),
            Self::BeforeValue if byte == b'"' => Some(Self::Quoted),
            Self::Quoted if byte == b'"' => Some(Self::QuotedEnd),
            Self::Quoted if byte == b'\\' => Some(Self::QuotedPair),
            Self::Quoted | Self::QuotedPair if is_text_byte(byte) => Some(Self::Quoted),
            Self::BeforeSemicolon
            | Self::BeforeName
            | Self::Name
            | Self::AfterName
            | Self::BeforeValue
            | Self::Token
            | Self::Quoted
            | Self::QuotedPair
            | Self::QuotedEnd => None,
        }
    }

    /// Whether the line may end here.
    fn may_end(self) -> bool {
        match self {
            Self::Name | Self::Token | Self::QuotedEnd => true,
            Self::BeforeSemicolon
            | Self::BeforeName
            | Self::AfterName
            | Self::BeforeValue
            | Self::Quoted
            | Self::QuotedPair => false,
        }
    }
}

/// tchar (RFC 9110 §5.6.2)
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// HTAB / SP / VCHAR / obs-text (RFC 9110 §5.5)
pub(super) fn is_text_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    /// The content and what follows it, or `None` when it is malformed or not complete.
    fn decode(input: &[u8], piece_bytes: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut decoder = ChunkedDecoder::default();
        let mut content = Vec::new();
        let mut taken = 0;
        for piece in input.chunks(piece_bytes) {
            let run = |run: &[u8]| content.extend_from_slice(run);
            let (consumed, ended) = decoder.decode(piece, run).ok()?;
            taken += consumed;
            if ended {
                return Some((content, input[taken..].to_vec()));
            }
            assert_eq!(consumed, piece.len());
        }
        None
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        let wire = b"5\r\nhello\r\n000A;a;b=c ; d=\"e;\\\"\"\r\n, world!!!\r\n0\r\nT: x\r\n\r\nGET";
        let whole = Some((b"hello, world!!!".to_vec(), b"GET".to_vec()));
        assert_eq!(decode(wire, wire.len()), whole);
        assert_eq!(decode(wire, 1), whole);
    }

    #[test]
    fn malformed_framing_is_refused() {
        let faults: [&[u8]; 28] = [
            b"\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"+1\r\na\r\n0\r\n\r\n",
            b"0x1\r\na\r\n0\r\n\r\n",
            b" 1\r\na\r\n0\r\n\r\n",
            b"1 \r\na\r\n0\r\n\r\n",
            b"1\na\r\n0\r\n\r\n",
            b"1\r\na\n0\r\n\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
            b"2\r\na\r\n0\r\n\r\n",
            b"1\r\ra\r\n0\r\n\r\n",
            b"1;\r\na\r\n0\r\n\r\n",
            b"1;a=\r\na\r\n0\r\n\r\n",
            b"1;a \r\na\r\n0\r\n\r\n",
            b"1;a\nb\r\na\r\n0\r\n\r\n",
            b"1;a=\"\r\na\r\n0\r\n\r\n",
            b"1;a=\"b\"c\r\na\r\n0\r\n\r\n",
            b"1;a\0\r\na\r\n0\r\n\r\n",
            b"1 2\r\na\r\n0\r\n\r\n",
            b"00000000000000001\r\na\r\n0\r\n\r\n",
            b"0\r\n\n",
            b"0\r\n\r\r",
            b"0\n\r\n",
            b"0\r\n T: x\r\n\r\n",
            b"0\r\nT : x\r\n\r\n",
            b"0\r\nT\r\n\r\n",
            b"0\r\nT: x\n\r\n",
        ];
        for fault in faults {
            for piece_bytes in [1, fault.len()] {
                let shown = String::from_utf8_lossy(fault);
                assert_eq!(decode(fault, piece_bytes), None, "{shown:?}");
            }
        }
    }

    #[test]
    fn largest_size_is_taken_and_does_not_wrap() {
        let mut decoder = ChunkedDecoder::default();
        assert_eq!(
            decoder.decode(b"ffffffffffffffff\r\nx", |_| ()),
            Ok((19, false))
        );
        let left_bytes = u64::MAX - 1;
        assert_eq!(decoder.stage, Stage::Data { left_bytes });
    }

    #[test]
    fn what_is_dropped_is_bounded() {
        let room = limits::HTTP_CHUNK_DROPPED_BYTES;
        let with_extension = |bytes| format!("0;{}\r\n\r\n", "a".repeat(bytes - 1));
        assert!(decode(with_extension(room).as_bytes(), 4096).is_some());
        assert!(decode(with_extension(room + 1).as_bytes(), 4096).is_none());
        let with_trailer = |bytes| format!("0\r\n{}:\r\n\r\n", "a".repeat(bytes - 1));
        assert!(decode(with_trailer(room).as_bytes(), 4096).is_some());
        assert!(decode(with_trailer(room + 1).as_bytes(), 4096).is_none());
        let many = "1;a\r\nx\r\n".repeat(room / 2 + 1) + "0\r\n\r\n";
        assert!(decode(many.as_bytes(), 4096).is_none());
    }

    proptest! {
        #[test]
        fn what_was_chunked_comes_back(
            chunks in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            piece_bytes in 1usize..50,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\nrest");
            let expected = Some((chunks.concat(), b"rest".to_vec()));
            prop_assert_eq!(decode(&wire, piece_bytes), expected);
        }
    }
}
