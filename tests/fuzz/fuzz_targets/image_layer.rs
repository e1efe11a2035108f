//! Layers out of hostile tar streams: nothing outside the layer changes, and what was taken is given back byte for byte.
//!
//! Headers have a checksum that no mutation hits, so the input is a program of members: a kind, a name, a link, flags and
//! data; one kind is raw bytes in place of a member, another overwrites a field of the next header before its checksum
//! is made.
#![no_main]

use std::{fs, io::Read, path::Path, sync::OnceLock};

use libfuzzer_sys::fuzz_target;
use stack::{
    image::{ImageStore, Kept},
    model::PruneFilter,
    store::Root,
};

const BLOCK: usize = 512;

fuzz_target!(|input: &[u8]| {
    static PLACE: OnceLock<String> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let place = format!("/dev/shm/stack-fuzz-{}", std::process::id());
        fs::create_dir(&place).unwrap();
        fs::write(format!("{place}/secret"), "secret").unwrap();
        place
    });
    let store = ImageStore::open(&Root::below(Path::new(&format!("{place}/root"))));
    let stream = stream(input);
    if let Ok(layer) = store.stream_layer(&mut &stream[..]) {
        let mut again = Vec::new();
        let mut source = store.layer_stream(&layer.diff_id).unwrap();
        source.read_to_end(&mut again).unwrap();
        assert!(again == stream, "the stream is another");
    }
    let filter = PruneFilter {
        all: true,
        ..PruneFilter::default()
    };
    store.prune(&filter, &Kept::default()).unwrap();
    let mut names: Vec<_> = fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["root", "secret"]);
    assert_eq!(fs::read(format!("{place}/secret")).unwrap(), b"secret");
    for directory in ["tmp", "layers"] {
        let left = fs::read_dir(format!("{place}/root/{directory}"));
        assert_eq!(left.into_iter().flatten().count(), 0, "{directory}");
    }
});

/// Bytes of the input, zeros after its end.
struct Program<'a>(&'a [u8]);

impl<'a> Program<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

fn stream(input: &[u8]) -> Vec<u8> {
    let mut program = Program(input);
    let mut bytes = Vec::new();
    let mut patch = None;
    while !program.0.is_empty() {
        match program.byte() {
            0xff => {
                let count = usize::from(program.byte());
                bytes.extend(program.take(count));
            }
            0xfe => {
                let at = usize::from(program.byte()) * 2;
                let count = usize::from(program.byte() % 24);
                patch = Some((at, program.take(count)));
            }
            kind => member(kind, &mut program, patch.take(), &mut bytes),
        }
    }
    bytes.extend([0; 2 * BLOCK]);
    bytes
}

fn member(kind: u8, program: &mut Program<'_>, patch: Option<(usize, &[u8])>, bytes: &mut Vec<u8>) {
    let flags = program.byte();
    let name = name(program);
    let link = self::name(program);
    let length = usize::from(program.byte());
    let data = program.take(length);
    let mut header = [0_u8; BLOCK];
    header[..name.len()].copy_from_slice(&name);
    header[100..107].copy_from_slice(if flags & 1 == 0 { b"0000644" } else { b"0004755" });
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    header[136..147].copy_from_slice(b"14000000000");
    header[156] = b"00000011225345xLKgSX7"[usize::from(kind) % 21];
    header[157..157 + link.len()].copy_from_slice(&link);
    let magic: &[u8; 8] = if flags & 2 == 0 { b"ustar\x0000" } else { b"ustar  \0" };
    header[257..265].copy_from_slice(magic);
    if let Some((at, patch)) = patch {
        let end = (at + patch.len()).min(BLOCK);
        header[at.min(end)..end].copy_from_slice(&patch[..end - at.min(end)]);
    }
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes.extend(header);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
}

/// A name of few parts, so that names meet; now and then of any bytes.
fn name(program: &mut Program<'_>) -> Vec<u8> {
    const PARTS: [&[u8]; 16] = [
        b"a", b"b", b"c", b"..", b".", b"", b"/", b".wh.a", b".wh.b", b".wh..wh..opq", b".wh.", b"secret",
        b"root", b"proc/self/root", b"..", b"a",
    ];
    let count = program.byte();
    if count >= 0xf0 {
        return program.take(usize::from(count & 0xf) * 6).to_vec();
    }
    let parts: Vec<&[u8]> = (0..=count % 4)
        .map(|_| PARTS[usize::from(program.byte()) % PARTS.len()])
        .collect();
    parts.join(&b'/')
}
