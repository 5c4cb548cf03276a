//! The attributes of a directory that is replaced, which its successor gets: owner, group, mode bits and access control
//! lists. Also finds what can keep a file or a directory from being replaced.

use std::ffi::OsStr;
use std::io;

use cap_std::fs::{Dir, Metadata, MetadataExt as _};
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};

use crate::error::Cause;

/// Gives `to` the owner, group, access control lists and mode bits of `from`. Returns the ones that this user may not
/// set.
pub(crate) fn copy_attributes(from: &Dir, to: &Dir) -> io::Result<Vec<&'static str>> {
    let (wanted, found) = (from.dir_metadata()?, to.dir_metadata()?);
    let mut lost = Vec::new();
    if wanted.gid() != found.gid() && fchown(to, None, Some(Gid::from_raw(wanted.gid()))).is_err() {
        lost.push("group");
    }
    if wanted.uid() != found.uid() && fchown(to, Some(Uid::from_raw(wanted.uid())), None).is_err() {
        lost.push("owner");
    }
    if lists::copy(from, to)? {
        lost.push("access control list");
    }
    // The mode comes last, because a change of owner clears bits, and so does a list.
    let bits = wanted.mode() & 0o7777;
    if fchmod(to, Mode::from_raw_mode(bits as _)).is_err() || to.dir_metadata()?.mode() & 0o7777 != bits {
        lost.push("mode");
    }
    Ok(lost)
}

/// Returns why this user cannot replace the existing file or directory `name`, if there is a reason besides the
/// permissions of its directory, `parent`.
pub(crate) fn lock_of(dir: &Dir, name: &str, parent: &Metadata, found: &Metadata) -> io::Result<Option<Cause>> {
    if !found.is_dir() && is_kept_for_its_owner(parent, found) {
        return Ok(Some(Cause::NotOurs));
    }
    flags::lock_of(dir, name)
}

/// Whether only another user may replace `found`, because its directory `parent` is sticky like `/tmp`.
pub(crate) fn is_kept_for_its_owner(parent: &Metadata, found: &Metadata) -> bool {
    const STICKY: u32 = 0o1000;
    let user = rustix::process::geteuid();
    let owns = |metadata: &Metadata| metadata.uid() == user.as_raw();
    parent.mode() & STICKY != 0 && !owns(parent) && !owns(found) && !user.is_root()
}

/// Whether the directory is a mount point.
pub(crate) fn is_mount_point(parent: &Dir, name: &OsStr) -> io::Result<bool> {
    flags::is_mount_point(parent, name)
}

#[cfg(target_os = "linux")]
mod flags {
    use std::ffi::OsStr;
    use std::io;

    use cap_std::fs::Dir;
    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};

    use crate::error::Cause;

    fn attributes(dir: &Dir, name: &OsStr) -> io::Result<StatxAttributes> {
        match statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
            Ok(found) => Ok(found.stx_attributes),
            // The kernel is too old, or a system call filter does not know the call.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => Ok(StatxAttributes::empty()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn lock_of(dir: &Dir, name: &str) -> io::Result<Option<Cause>> {
        let found = attributes(dir, name.as_ref())?;
        Ok(if found.contains(StatxAttributes::MOUNT_ROOT) {
            Some(Cause::MountPoint)
        } else if found.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
            Some(Cause::Immutable)
        } else {
            None
        })
    }

    pub(super) fn is_mount_point(parent: &Dir, name: &OsStr) -> io::Result<bool> {
        Ok(attributes(parent, name)?.contains(StatxAttributes::MOUNT_ROOT))
    }
}

/// Elsewhere a mount point is recognised by its device, and a locked file only when moving it fails.
#[cfg(not(target_os = "linux"))]
mod flags {
    use std::ffi::OsStr;
    use std::io;

    use cap_std::fs::Dir;

    use crate::error::Cause;

    pub(super) fn lock_of(_dir: &Dir, _name: &str) -> io::Result<Option<Cause>> {
        Ok(None)
    }

    pub(super) fn is_mount_point(_parent: &Dir, _name: &OsStr) -> io::Result<bool> {
        Ok(false)
    }
}

/// POSIX and NFSv4 access control lists are extended attributes on Linux.
#[cfg(target_os = "linux")]
mod lists {
    use std::ffi::CStr;
    use std::io;

    use cap_std::fs::Dir;
    use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
    use rustix::io::Errno;

    const LISTS: [&CStr; 3] = [c"system.posix_acl_access", c"system.posix_acl_default", c"system.nfs4_acl"];
    /// Longest value of an attribute.
    const VALUE_MAX: usize = 64 << 10;

    /// Copies the lists of `from`, and removes others from `to`. Returns whether any change was refused.
    pub(super) fn copy(from: &Dir, to: &Dir) -> io::Result<bool> {
        let mut refused = false;
        for name in LISTS {
            match (get(from, name)?, get(to, name)?) {
                (wanted, found) if wanted == found => {}
                (Some(wanted), _) => refused |= fsetxattr(to, name, &wanted, XattrFlags::empty()).is_err(),
                (None, _) => refused |= fremovexattr(to, name).is_err(),
            }
        }
        Ok(refused)
    }

    fn get(dir: &Dir, name: &CStr) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; VALUE_MAX];
        match fgetxattr(dir, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                Ok(Some(value))
            }
            Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// On macOS, access control lists cannot be copied without unsafe code, so they are lost. `ls` shows whether there is
/// one.
#[cfg(target_vendor = "apple")]
mod lists {
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Command;

    use cap_std::fs::Dir;
    use rustix::fs::getpath;

    /// Copies nothing. Returns whether there is a list.
    pub(super) fn copy(from: &Dir, _to: &Dir) -> io::Result<bool> {
        let path = getpath(from)?;
        let listed = Command::new("/bin/ls").args(["-led", "--"]).arg(OsStr::from_bytes(path.as_bytes())).output();
        // Each entry of the list has a line of its own.
        Ok(listed.is_ok_and(|listed| listed.stdout.iter().filter(|byte| **byte == b'\n').count() > 1))
    }
}

/// On other systems no access control lists are known here.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
mod lists {
    use std::io;

    use cap_std::fs::Dir;

    pub(super) fn copy(_from: &Dir, _to: &Dir) -> io::Result<bool> {
        Ok(false)
    }
}
