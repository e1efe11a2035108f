//! execve(2) on arrays that were prepared before.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use rustix::io::Errno;

use super::clone::Replaced;

/// Bytes of the one text that is added late, its null byte included: `HOME=` and a path.
const LATE_BYTES_MAX: usize = 5 + 4096;

/// A list of texts with the null-terminated array of pointers that execve(2) wants.
#[derive(Debug)]
pub struct Texts {
    /// Owns what `pointers` points to; a text's buffer stays where it is when the vector moves.
    list: Vec<CString>,
    /// One pointer a text, one spare null, and the null that ends the array.
    pointers: Vec<*const c_char>,
    /// Buffer of the text that [`Texts::add_late`] adds.
    late: Vec<u8>,
}

impl Texts {
    /// Makes a list with room for one more text.
    pub fn new(texts: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
        pointers.extend([ptr::null(), ptr::null()]);
        Self {
            list: texts,
            pointers,
            late: vec![0; LATE_BYTES_MAX],
        }
    }

    /// Returns the texts that the list was made of.
    pub fn texts(&self) -> &[CString] {
        &self.list
    }

    /// Adds one text, made of two parts, without allocating. Refused with E2BIG when it is too long. A second call replaces it.
    pub fn add_late(&mut self, name: &[u8], value: &[u8]) -> Result<(), Errno> {
        let length = name.len() + value.len();
        if length >= self.late.len() {
            return Err(Errno::TOOBIG);
        }
        self.late[..name.len()].copy_from_slice(name);
        self.late[name.len()..length].copy_from_slice(value);
        self.late[length] = 0;
        let spare = self.pointers.len() - 2;
        self.pointers[spare] = self.late.as_ptr().cast();
        Ok(())
    }

    /// Executes a program with these arguments. Returns only when it was refused.
    pub fn execute(&self, program: &CStr, environment: &Self) -> Replaced {
        // SAFETY: `program` ends with a null byte. Both arrays end with a null pointer, and each entry before it points to a text
        // that ends with a null byte and is owned by the same list, which is borrowed for the call.
        unsafe {
            libc::execve(
                program.as_ptr(),
                self.pointers.as_ptr(),
                environment.pointers.as_ptr(),
            )
        };
        Err(super::last_errno())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_text_takes_the_spare_place() {
        let mut texts = Texts::new(vec![c"A=1".to_owned()]);
        texts.add_late(b"HOME=", b"/srv").unwrap();
        assert_eq!(texts.pointers.len(), 3);
        assert!(texts.pointers[2].is_null());
        assert_eq!(CStr::from_bytes_until_nul(&texts.late), Ok(c"HOME=/srv"));
        assert_eq!(texts.add_late(b"HOME=", &[b'x'; 5000]), Err(Errno::TOOBIG));
    }
}
