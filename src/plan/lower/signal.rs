//! Signal names and numbers, as Docker and kill(1) write them.

/// Names without `SIG` by number, x86-64 and arm64 Linux (signal(7)).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// First and last real-time signal as programs see them: the C library keeps 32 and 33 for itself.
const REAL_TIME: (i32, i32) = (34, 64);

/// Returns the number of `SIGTERM`, `term`, `15` or `SIGRTMIN+3`; `None` when there is no such signal.
pub fn signal_number(text: &str) -> Option<i32> {
    let upper = text.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse::<i32>() {
        return (1..=REAL_TIME.1).contains(&number).then_some(number);
    }
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (first, last) = REAL_TIME;
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return real_time(first, offset);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        return real_time(last, offset);
    }
    let name = match name {
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        "POLL" => "IO",
        other => other,
    };
    let index = NAMES.iter().position(|known| *known == name)?;
    i32::try_from(index + 1).ok()
}

fn real_time(base: i32, offset: &str) -> Option<i32> {
    let offset = match offset {
        "" => 0,
        text if text.starts_with(['+', '-']) => text.parse::<i32>().ok()?,
        _ => return None,
    };
    let number = base.checked_add(offset)?;
    (REAL_TIME.0..=REAL_TIME.1)
        .contains(&number)
        .then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_understood() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("15", 15),
            ("SIGKILL", 9),
            ("SIGSYS", 31),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("SIGRTMIN", 34),
            ("WINCH", 28),
        ] {
            assert_eq!(signal_number(text), Some(number), "{text}");
        }
        for bad in [
            "",
            "SIG",
            "0",
            "65",
            "-1",
            "TERMINATE",
            "RTMIN+31",
            "RTMIN3",
        ] {
            assert_eq!(signal_number(bad), None, "{bad}");
        }
    }
}
