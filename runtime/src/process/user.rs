//! Looks users and groups up in the text of a container's own /etc/passwd and /etc/group. Never asks the host's name services.
//!
//! [`resolve`] does not allocate, because the child of a launch calls it between clone and exec; the image builder uses it too.
//! The rules are Docker's: digits are always an id and never a name; an id needs no entry; a name does; supplementary groups come
//! from /etc/group only when no group was asked for; the main group is always among the supplementary ones (CVE-2022-36109).

use std::fmt;

/// Largest number of supplementary groups. The kernel's limit is 65 536; nobody has that many.
pub const GROUPS_MAX: usize = 1024;

/// `user[:group]` as somebody wrote it, split and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserSpec<'a> {
    /// The part before the colon; empty = 0.
    pub user: Id<'a>,
    /// The part after the colon; empty = none.
    pub group: Option<Id<'a>>,
}

/// A name or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id<'a> {
    /// Decimal digits.
    Number(u32),
    /// Anything else.
    Name(&'a str),
}

/// Why a user or group is refused before anybody looks it up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("user or group `{text}` {reason}")]
pub struct UserSyntaxError {
    /// What was written.
    text: String,
    /// What is wrong with it.
    reason: &'static str,
}

/// A user that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'t> {
    /// What its processes run as.
    pub credentials: Credentials,
    /// Home directory of the passwd line; `None` without a line.
    pub home: Option<&'t [u8]>,
}

/// What a process runs as.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    groups: [u32; GROUPS_MAX],
    groups_count: usize,
}

/// An entry that a container does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The user is not in passwd.
    User,
    /// The main group is not in group.
    Group,
    /// The additional group with this index is not in group.
    Additional(usize),
    /// There are more than [`GROUPS_MAX`] groups.
    TooManyGroups,
}

impl<'a> UserSpec<'a> {
    /// Splits and judges `user`, `user:group`, `:group` or the empty text.
    pub fn parse(text: &'a str) -> Result<Self, UserSyntaxError> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let parse = |part| {
            Id::parse(part).map_err(|error| UserSyntaxError {
                text: text.to_owned(),
                ..error
            })
        };
        Ok(Self {
            user: if user.is_empty() {
                Id::Number(0)
            } else {
                parse(user)?
            },
            group: if group.is_empty() {
                None
            } else {
                Some(parse(group)?)
            },
        })
    }
}

impl<'a> Id<'a> {
    /// Judges a name or number. Signs, blanks, colons and commas are in neither, so that nothing can be read as another id (CVE-2026-30892).
    pub fn parse(text: &'a str) -> Result<Self, UserSyntaxError> {
        let refuse = |reason| {
            Err(UserSyntaxError {
                text: text.to_owned(),
                reason,
            })
        };
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // The largest number means "leave it as it is" to setresuid(2).
            return match text.parse() {
                Ok(u32::MAX) | Err(_) => refuse("is above 4294967294"),
                Ok(number) => Ok(Self::Number(number)),
            };
        }
        if text.starts_with(['-', '+']) {
            return refuse("starts with a sign");
        }
        let is_foreign =
            |c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | ',' | '/');
        if text.contains(is_foreign) {
            return refuse("contains a blank, colon, comma, slash or control character");
        }
        Ok(Self::Name(text))
    }

    fn matches(self, name: &[u8], number: u32) -> bool {
        match self {
            Self::Number(wanted) => wanted == number,
            Self::Name(wanted) => wanted.as_bytes() == name,
        }
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Credentials {
    /// Takes these supplementary groups and no others, for descriptions that say it to the letter.
    pub fn set_groups(&mut self, groups: impl Iterator<Item = u32>) -> Result<(), Missing> {
        self.groups_count = 0;
        for gid in groups {
            self.add_group(gid)?;
        }
        Ok(())
    }

    /// Returns the supplementary groups, the main group first.
    pub fn groups(&self) -> &[u32] {
        &self.groups[..self.groups_count]
    }

    fn add_group(&mut self, gid: u32) -> Result<(), Missing> {
        if self.groups().contains(&gid) {
            return Ok(());
        }
        let place = self
            .groups
            .get_mut(self.groups_count)
            .ok_or(Missing::TooManyGroups)?;
        *place = gid;
        self.groups_count += 1;
        Ok(())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .field("groups", &self.groups())
            .finish_non_exhaustive()
    }
}

/// Finds what a process runs as. A missing file is an empty text.
pub fn resolve<'t>(
    spec: &UserSpec<'_>,
    additional: &[Id<'_>],
    passwd: &'t [u8],
    group: &[u8],
) -> Result<Found<'t>, Missing> {
    let user = users(passwd).find(|user| spec.user.matches(user.name, user.uid));
    let uid = match (spec.user, &user) {
        (Id::Number(number), _) => number,
        (Id::Name(_), Some(user)) => user.uid,
        (Id::Name(_), None) => return Err(Missing::User),
    };
    let gid = match spec.group {
        Some(wanted) => find_group(wanted, group).ok_or(Missing::Group)?,
        None => user.as_ref().map_or(0, |user| user.gid),
    };
    let mut credentials = Credentials {
        uid,
        gid,
        groups: [0; GROUPS_MAX],
        groups_count: 0,
    };
    credentials.add_group(gid)?;
    if let (None, Some(user)) = (spec.group, &user) {
        for entry in groups(group).filter(|entry| entry.has_member(user.name)) {
            credentials.add_group(entry.gid)?;
        }
    }
    for (index, wanted) in additional.iter().enumerate() {
        credentials.add_group(find_group(*wanted, group).ok_or(Missing::Additional(index))?)?;
    }
    Ok(Found {
        credentials,
        home: user.map(|user| user.home),
    })
}

fn find_group(wanted: Id<'_>, group: &[u8]) -> Option<u32> {
    match wanted {
        Id::Number(number) => Some(number),
        Id::Name(_) => groups(group)
            .find(|entry| wanted.matches(entry.name, entry.gid))
            .map(|entry| entry.gid),
    }
}

/// One line of passwd(5): `name:password:uid:gid:gecos:home:shell`.
struct UserLine<'t> {
    name: &'t [u8],
    uid: u32,
    gid: u32,
    home: &'t [u8],
}

/// One line of group(5): `name:password:gid:member,member`.
struct GroupLine<'t> {
    name: &'t [u8],
    gid: u32,
    members: &'t [u8],
}

impl GroupLine<'_> {
    fn has_member(&self, name: &[u8]) -> bool {
        self.members
            .split(|byte| *byte == b',')
            .any(|member| member == name)
    }
}

fn users(passwd: &[u8]) -> impl Iterator<Item = UserLine<'_>> {
    lines(passwd).filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = number(fields.nth(1)?)?;
        let gid = number(fields.next()?)?;
        let home = fields.nth(1).unwrap_or_default();
        Some(UserLine {
            name,
            uid,
            gid,
            home,
        })
    })
}

fn groups(group: &[u8]) -> impl Iterator<Item = GroupLine<'_>> {
    lines(group).filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = number(fields.nth(1)?)?;
        let members = fields.next().unwrap_or_default();
        Some(GroupLine { name, gid, members })
    })
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii)
}

/// Reads digits only: no sign, no blank, no overflow, not the number that means "unchanged".
fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (number != u32::MAX).then_some(number)
}

#[cfg(test)]
mod tests;
