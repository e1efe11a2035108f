//! Programs of another architecture: the kernel runs them through an interpreter that somebody registered with binfmt_misc, or not at all.

use std::path::Path;

/// Where registrations are (Documentation/admin-guide/binfmt-misc.rst).
const REGISTRATIONS: &str = "/proc/sys/fs/binfmt_misc";

/// Programs of a platform cannot be run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmulationError {
    /// Nobody registered an interpreter.
    #[error(
        "programs for {platform} do not run on this machine: install an emulator that registers itself with binfmt_misc (Debian: `apt-get install qemu-user-static binfmt-support`), or build for {host}"
    )]
    None {
        /// What is wanted.
        platform: String,
        /// What this machine is.
        host: String,
    },
    /// The interpreter would have to be in the image.
    #[error(
        "the emulator for {platform}, `{interpreter}`, is registered without the flag F: containers cannot see it; register it again with F"
    )]
    NotFixed {
        /// What is wanted.
        platform: String,
        /// The registered program.
        interpreter: String,
    },
}

/// Refuses a platform whose programs do not run here.
pub(crate) fn require(platform: &str) -> Result<(), EmulationError> {
    let host = super::solve::host_platform();
    if is_native(arch(host), arch(platform)) {
        return Ok(());
    }
    decide(platform, host, &registrations(Path::new(REGISTRATIONS)))
}

fn arch(platform: &str) -> &str {
    platform.split('/').nth(1).unwrap_or_default()
}

/// 64-bit kernels run the 32-bit programs of their own family.
fn is_native(host: &str, wanted: &str) -> bool {
    host == wanted || matches!((host, wanted), ("amd64", "386") | ("arm64", "arm"))
}

/// One registered interpreter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Registration {
    interpreter: String,
    /// `F`: the interpreter was opened when it was registered and needs not to be in the image.
    fixed: bool,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

/// Reads the enabled registrations; where binfmt_misc is not mounted there are none.
fn registrations(directory: &Path) -> Vec<Registration> {
    let entries = fs_err::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| fs_err::read_to_string(entry.path()).ok())
        .filter_map(|text| parse(&text))
        .collect()
}

fn parse(text: &str) -> Option<Registration> {
    let mut lines = text.lines();
    if lines.next()? != "enabled" {
        return None;
    }
    let mut found = Registration::default();
    for line in lines {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "interpreter" => value.clone_into(&mut found.interpreter),
            "flags:" => found.fixed = value.contains('F'),
            "offset" => found.offset = value.parse().ok()?,
            "magic" => found.magic = hex(value)?,
            "mask" => found.mask = hex(value)?,
            _ => {}
        }
    }
    (!found.magic.is_empty()).then_some(found)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn decide(
    platform: &str,
    host: &str,
    registrations: &[Registration],
) -> Result<(), EmulationError> {
    let header = elf_header(arch(platform));
    let matching = registrations
        .iter()
        .filter(|registration| header.is_some_and(|header| registration.takes(&header)));
    let mut not_fixed = None;
    for registration in matching {
        if registration.fixed {
            return Ok(());
        }
        not_fixed = Some(registration.interpreter.clone());
    }
    Err(match not_fixed {
        Some(interpreter) => EmulationError::NotFixed {
            platform: platform.to_owned(),
            interpreter,
        },
        None => EmulationError::None {
            platform: platform.to_owned(),
            host: host.to_owned(),
        },
    })
}

impl Registration {
    fn takes(&self, header: &[u8; 20]) -> bool {
        let Some(part) = header.get(self.offset..self.offset + self.magic.len()) else {
            return false;
        };
        let mask = |at: usize| self.mask.get(at).copied().unwrap_or(0xff);
        let mut pairs = part.iter().zip(&self.magic).enumerate();
        pairs.all(|(at, (byte, magic))| byte & mask(at) == magic & mask(at))
    }
}

/// Returns the beginning of an executable of an architecture (elf(5): class, data, machine).
fn elf_header(arch: &str) -> Option<[u8; 20]> {
    let (class, big_endian, machine) = match arch {
        "amd64" => (2, false, 62_u16),
        "386" => (1, false, 3),
        "arm64" => (2, false, 183),
        "arm" => (1, false, 40),
        "riscv64" => (2, false, 243),
        "ppc64le" => (2, false, 21),
        "s390x" => (2, true, 22),
        "mips64le" => (2, false, 8),
        "loong64" => (2, false, 258),
        _ => return None,
    };
    let mut header = [0; 20];
    let data = if big_endian { 2 } else { 1 };
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, data, 1]);
    let bytes = |number: u16| {
        if big_endian {
            number.to_be_bytes()
        } else {
            number.to_le_bytes()
        }
    };
    header[16..18].copy_from_slice(&bytes(2));
    header[18..20].copy_from_slice(&bytes(machine));
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AARCH64: &str = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    fn decided(platform: &str, registration: &str) -> Result<(), String> {
        let registrations: Vec<_> = parse(registration).into_iter().collect();
        decide(platform, "linux/amd64", &registrations).map_err(|error| error.to_string())
    }

    #[test]
    fn a_platform_needs_an_interpreter_that_containers_can_use() {
        assert!(is_native("amd64", "386") && !is_native("amd64", "arm64"));
        assert_eq!(decided("linux/arm64/v8", AARCH64), Ok(()));
        let not_fixed = decided("linux/arm64", &AARCH64.replace("OCF", "OC")).unwrap_err();
        assert!(not_fixed.contains("qemu-aarch64-static"), "{not_fixed}");
        for (platform, registration) in [
            ("linux/s390x", AARCH64),
            (
                "linux/arm64",
                &AARCH64.replace("enabled", "disabled") as &str,
            ),
            (
                "linux/arm64",
                "enabled\ninterpreter /x\nflags: F\nextension .arm64\n",
            ),
            ("linux/unheard", AARCH64),
        ] {
            let error = decided(platform, registration).unwrap_err();
            assert!(
                error.contains("apt-get install qemu-user-static"),
                "{error}"
            );
        }
    }
}
