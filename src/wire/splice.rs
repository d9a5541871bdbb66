//! Passing a slice on with as little copying as can be: untouched it is the slice itself; only from the first
//! change on is it written anew.

/// What goes out for one slice that came in.
pub struct Splice<'a> {
    input: &'a [u8],
    /// How much of the input has been dealt with.
    taken: usize,
    /// How much of the input stands in `out`, or was left out; beyond it, up to `taken`, the input passes as it is.
    written: usize,
    out: &'a mut Vec<u8>,
}

impl<'a> Splice<'a> {
    /// Starts on `input`; `out` is emptied and used only if something changes.
    pub fn new(input: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        out.clear();
        Self { input, taken: 0, written: 0, out }
    }

    /// What has not been dealt with.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.input[self.taken..]
    }

    /// How much of the input has been dealt with.
    pub const fn taken(&self) -> usize {
        self.taken
    }

    /// The next `bytes` pass as they are.
    #[inline]
    pub fn pass(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.rest().len());
        self.taken += bytes;
    }

    /// The next `bytes` are left out.
    pub fn skip(&mut self, bytes: usize) {
        self.settle();
        self.taken += bytes;
        self.written = self.taken;
    }

    /// Something of our own goes out here.
    pub fn insert(&mut self) -> &mut Vec<u8> {
        self.settle();
        self.out
    }

    fn settle(&mut self) {
        self.out.extend_from_slice(&self.input[self.written..self.taken]);
        self.written = self.taken;
    }

    /// How much goes out so far.
    pub const fn len(&self) -> usize {
        self.out.len() + self.taken - self.written
    }

    /// Whether nothing goes out so far.
    pub const fn is_empty(&self) -> bool {
        self.out.is_empty() && self.written == self.taken
    }

    /// The bytes to send: a part of the input where nothing else came before it, else what was written.
    pub fn finish(mut self) -> &'a [u8] {
        if self.out.is_empty() {
            return &self.input[self.written..self.taken];
        }
        self.settle();
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untouched_is_the_input_itself() {
        let (input, mut out) = (b"abcdef".to_vec(), Vec::new());
        let mut splice = Splice::new(&input, &mut out);
        splice.pass(4);
        assert_eq!(splice.rest(), b"ef");
        let sent = splice.finish();
        assert_eq!((sent, sent.as_ptr()), (&b"abcd"[..], input.as_ptr()));
    }

    #[test]
    fn changes_stand_where_they_were_made() {
        let (input, mut out) = (b"abcdef".to_vec(), Vec::new());
        let mut splice = Splice::new(&input, &mut out);
        splice.skip(1);
        splice.pass(2);
        splice.insert().extend_from_slice(b"--");
        splice.pass(1);
        splice.skip(1);
        splice.pass(1);
        assert_eq!(splice.finish(), b"bc--df");
        let mut splice = Splice::new(&input, &mut out);
        splice.skip(2);
        splice.pass(3);
        assert_eq!(splice.finish(), b"cde");
    }
}
