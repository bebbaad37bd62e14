//! The compressed forms of something, each in its life: not wanted yet, being made, made, or not worth it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::{Precompressed, Use};
use crate::http::encoding::Encoding;

/// One place an encoding.
#[derive(Debug)]
pub struct Forms<T>([Form<T>; 3]);

#[derive(Debug)]
struct Form<T> {
    asked: AtomicBool,
    /// `None` inside: it was made and is not worth keeping.
    made: OnceLock<Option<T>>,
}

impl<T> Default for Forms<T> {
    fn default() -> Self {
        Forms(std::array::from_fn(|_| Form { asked: AtomicBool::new(false), made: OnceLock::new() }))
    }
}

impl<T> Forms<T> {
    /// The form in `encoding`, if it was made and kept.
    pub fn made(&self, encoding: Encoding) -> Option<&T> {
        self.0[encoding as usize].made.get()?.as_ref()
    }

    /// True when it will not get smaller than it is, so that nobody need try again.
    pub fn is_at_its_smallest(&self, encoding: Encoding) -> bool {
        matches!(self.0[encoding as usize].made.get(), Some(None))
    }

    /// As for [`Precompressed::ask`].
    pub fn ask(&self, encoding: Encoding) -> bool {
        let form = &self.0[encoding as usize];
        form.made.get().is_none() && !form.asked.swap(true, Ordering::Relaxed)
    }

    /// As for [`Precompressed::unask`].
    pub fn unask(&self, encoding: Encoding) {
        self.0[encoding as usize].asked.store(false, Ordering::Relaxed);
    }

    /// Keeps `form`, of `length` bytes, beside what is `plain` bytes long without: all forms together are never longer
    /// than that, so that what they take is known beforehand.
    pub fn keep(&self, encoding: Encoding, form: T, length: usize, plain: usize, length_of: impl Fn(&T) -> usize) {
        let held: usize = Encoding::ALL.iter().filter_map(|other| self.made(*other)).map(length_of).sum();
        let is_worth_it = length < plain && held + length <= plain;
        let _ = self.0[encoding as usize].made.set(is_worth_it.then_some(form));
    }
}

/// Put as an `Arc` into an answer's extensions: its whole body, which is kept, and is compressed once for all.
#[derive(Debug)]
pub struct KeptBody {
    plain: Bytes,
    /// `None` for what does not get smaller.
    forms: Option<Forms<Bytes>>,
}

impl KeptBody {
    /// With a place for compressed forms where it `is_compressible`.
    pub fn new(plain: Bytes, is_compressible: bool) -> KeptBody {
        KeptBody { plain, forms: is_compressible.then(Forms::default) }
    }

    pub fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// Its compressed forms.
    pub fn forms(&self) -> Option<&Forms<Bytes>> {
        self.forms.as_ref()
    }

    /// Bytes that it takes at most, with all forms there will be.
    pub fn weight(&self) -> usize {
        if self.forms.is_some() { 2 * self.plain.len() } else { self.plain.len() }
    }
}

impl Precompressed for KeptBody {
    fn bytes(&self) -> Option<&Bytes> {
        Some(&self.plain)
    }

    /// As for an answer that passes by: a page may be another in a minute.
    fn purpose(&self) -> Use {
        Use::Page(Some(self.plain.len() as u64))
    }

    fn ask(&self, encoding: Encoding) -> bool {
        self.forms.as_ref().is_some_and(|forms| forms.ask(encoding))
    }

    fn unask(&self, encoding: Encoding) {
        if let Some(forms) = &self.forms {
            forms.unask(encoding);
        }
    }

    fn keep(&self, encoding: Encoding, bytes: Bytes) {
        let Some(forms) = &self.forms else { return };
        let length = bytes.len();
        forms.keep(encoding, bytes, length, self.plain.len(), Bytes::len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_together_are_never_longer_than_what_they_are_of() {
        let none = KeptBody::new(Bytes::from(vec![0; 100]), false);
        assert!(!none.ask(Encoding::Gzip) && none.weight() == 100);

        let body = KeptBody::new(Bytes::from(vec![0; 100]), true);
        assert!(body.ask(Encoding::Gzip) && !body.ask(Encoding::Gzip) && body.ask(Encoding::Zstd));
        body.unask(Encoding::Gzip);
        assert!(body.ask(Encoding::Gzip));
        body.keep(Encoding::Gzip, Bytes::from(vec![1; 60]));
        assert_eq!(body.forms().unwrap().made(Encoding::Gzip).map(Bytes::len), Some(60));
        assert!(!body.ask(Encoding::Gzip));

        body.keep(Encoding::Zstd, Bytes::from(vec![1; 41]));
        body.keep(Encoding::Brotli, Bytes::from(vec![1; 40]));
        let forms = body.forms().unwrap();
        assert!(forms.is_at_its_smallest(Encoding::Zstd) && forms.made(Encoding::Brotli).is_some());
        assert_eq!(body.weight(), 200);
    }
}
