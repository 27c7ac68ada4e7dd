//! The bytes of a file, in pages that two versions of it share where they are the same.

use std::sync::Arc;

/// A page, which is a sector of the disk, too.
pub(super) const PAGE_BYTES: usize = 4096;

type Page = Arc<[u8; PAGE_BYTES]>;

/// One version of a file. What was never written is zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    size_bytes: u64,
    pages: Vec<Option<Page>>,
}

impl Pages {
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Reads up to the end of the file; how many bytes.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let left = self.size_bytes.saturating_sub(offset);
        let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        for piece in pieces(offset, length) {
            let target = &mut buffer[piece.start..piece.start + piece.length];
            match self.pages.get(piece.page).and_then(Option::as_ref) {
                Some(page) => target.copy_from_slice(&page[piece.within..][..piece.length]),
                None => target.fill(0),
            }
        }
        length
    }

    /// Writes, which makes the file longer where it ends before.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        if end > self.size_bytes {
            self.set_size(end);
        }
        for piece in pieces(offset, bytes.len()) {
            let page = self.pages[piece.page].get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            let source = &bytes[piece.start..piece.start + piece.length];
            Arc::make_mut(page)[piece.within..][..piece.length].copy_from_slice(source);
        }
    }

    /// Cuts the file off, or makes it longer by zeros.
    pub(super) fn set_size(&mut self, size_bytes: u64) {
        let is_cut = size_bytes < self.size_bytes;
        self.size_bytes = size_bytes;
        self.pages.resize(pages_in(size_bytes), None);
        let tail = (size_bytes % PAGE_BYTES as u64) as usize;
        if is_cut
            && tail > 0
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[tail..].fill(0);
        }
    }

    /// Takes over one page of another version, if both are long enough.
    pub(super) fn take_page(&mut self, from: &Self, page: usize) {
        if let (Some(target), Some(source)) = (self.pages.get_mut(page), from.pages.get(page)) {
            target.clone_from(source);
        }
    }
}

fn pages_in(size_bytes: u64) -> usize {
    usize::try_from(size_bytes.div_ceil(PAGE_BYTES as u64)).expect("a file fits in memory")
}

/// A part of a range that lies in one page.
pub(super) struct Piece {
    /// Where the range has it.
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) page: usize,
    /// Where the page has it.
    pub(super) within: usize,
}

/// A range, page by page.
pub(super) fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == length {
            return None;
        }
        let at = offset + start as u64;
        let within = (at % PAGE_BYTES as u64) as usize;
        let piece = Piece {
            start,
            length: (length - start).min(PAGE_BYTES - within),
            page: usize::try_from(at / PAGE_BYTES as u64).expect("a file fits in memory"),
            within,
        };
        start += piece.length;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_across_pages_is_read_and_what_lies_beyond_a_cut_is_gone() {
        let mut pages = Pages::default();
        pages.write(4_000, &[7; 5_000]);
        assert_eq!(pages.size_bytes(), 9_000);
        let before = pages.clone();
        pages.set_size(4_100);
        pages.set_size(9_000);
        let mut buffer = [1; 10_000];
        assert_eq!(pages.read(0, &mut buffer), 9_000);
        assert!(buffer[..4_000].iter().all(|&byte| byte == 0));
        assert!(buffer[4_000..4_100].iter().all(|&byte| byte == 7));
        assert!(buffer[4_100..9_000].iter().all(|&byte| byte == 0));
        assert_eq!(before.read(8_999, &mut buffer), 1);
        assert_eq!(buffer[0], 7);
        assert_eq!(before.read(9_000, &mut buffer), 0);
    }
}
