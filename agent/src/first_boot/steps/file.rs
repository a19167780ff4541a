//! `file`: a template of the image, with values in the places of names, becomes a file.

use std::io::Write;

use earmark_manifest::{
    crypto, declaration::Template, entry::Owner, limits, name::AccountName, path::ImagePath,
};
use earmark_scan::rendered::{self, RenderedFile};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};

use super::{Context, StepResult};
use crate::{exec::Failure, first_boot::accounts, host::store};

/// A file as it is declared.
#[derive(Debug)]
pub struct File<'a> {
    /// The file.
    pub path: &'a ImagePath,
    /// Template of its content.
    pub template: &'a ImagePath,
    /// Permission bits.
    pub mode: u32,
    /// User.
    pub owner: &'a AccountName,
    /// Group; the user's own, if absent.
    pub group: Option<&'a AccountName>,
}

impl File<'_> {
    /// Writes the file, whole or not at all, and records what it wrote for later verifications.
    ///
    /// The record comes first, as pending: whatever a power cut leaves between the two, the next boot's
    /// verification expects it, and the step that follows it writes the file again.
    pub fn write(&self, context: &Context<'_>) -> StepResult {
        let text = self.render(context)?;
        let size = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if size > rendered::FILE_BOUND {
            let (path, bound) = (self.path, rendered::FILE_BOUND);
            return Err(format!(
                "'{path}' would have {size} bytes with these values, and at most {bound} are written"
            )
            .into());
        }
        let (uid, gid) = accounts::owner(context.image.root, self.owner, self.group)?;
        let owner = Owner {
            mode: self.mode,
            uid,
            gid,
        };
        let file = RenderedFile {
            sha256: crypto::sha256(text.as_bytes()),
            pending: true,
        };
        self.record(context, file)?;
        self.replace(context, &owner, text.as_bytes())
            .map_err(|error| format!("failed to write '{}': {error}", self.path))?;
        self.record(
            context,
            RenderedFile {
                pending: false,
                ..file
            },
        )
    }

    /// Checks that a step which is on record as done did write its file: the journal alone could be of
    /// another disk, or another day.
    pub fn must_be_there(&self, context: &Context<'_>) -> StepResult {
        let files = rendered::read(context.image.root, context.manifest.digest());
        let files = files.map_err(|doubt| doubt.to_string())?;
        let is_written = files.get(self.path).is_some_and(|file| !file.pending)
            && matches!(context.image.root.exists(self.path), Ok(true));
        if is_written {
            return Ok(());
        }
        let path = self.path;
        Err(format!(
            "it is on record as done, and '{path}' or the record of what was written there is missing; \
             next: replace the host"
        )
        .into())
    }

    fn render(&self, context: &Context<'_>) -> Result<String, Failure> {
        // Read once: the bytes that are compared with the signed digest are those that are rendered.
        let (path, sealed) = context.image.sealed.find(self.template)?;
        let bytes = context
            .image
            .root
            .read(&path, limits::TEMPLATE)
            .map_err(|error| error.to_string())?;
        if crypto::sha256(&bytes) != sealed.sha256 {
            return Err(
                format!("'{path}' is not the file that was signed: it was not used").into(),
            );
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("'{path}' is not UTF-8"))?;
        let template: Template = text
            .parse()
            .map_err(|problem| format!("'{path}': {problem}"))?;
        let declaration = context.manifest.declaration();
        // The signer looks at templates, too; a seal by another tool need not have been looked at.
        let render = declaration
            .check_template(&template)
            .and_then(|()| context.bindings.render(&template));
        Ok(render.map_err(|problem| format!("'{path}': {problem}"))?)
    }

    fn record(&self, context: &Context<'_>, file: RenderedFile) -> StepResult {
        let manifest = context.manifest.digest();
        let mut files =
            rendered::read(context.image.root, manifest).map_err(|doubt| doubt.to_string())?;
        files.insert(self.path.clone(), file);
        let bytes = rendered::to_bytes(manifest, &files);
        store::replace(context.image.root, "rendered.json", &bytes)
            .map_err(|error| format!("{error:#}").into())
    }

    fn replace(&self, context: &Context<'_>, owner: &Owner, bytes: &[u8]) -> std::io::Result<()> {
        let parent = self.path.parent().unwrap_or_default();
        let name = self.path.as_bytes().rsplit(|byte| *byte == b'/').next();
        let name = name.unwrap_or_default();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // A directory of the path may be state, whose owner could put a link to any place of root's in it.
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let at: &[u8] = if parent.is_root() {
            b"."
        } else {
            parent.as_bytes()
        };
        let directory = earmark_scan::openat2(context.image.root.as_fd(), at, flags, resolve)?;
        let temporary = rendered::TEMPORARY;
        // One of a run that was cut short.
        let _ = rustix::fs::unlinkat(&directory, temporary, AtFlags::empty());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Nobody else may read it before it has its owner and mode.
        let new = rustix::fs::openat(&directory, temporary, flags, Mode::from_raw_mode(0o600))?;
        let written = (|| {
            let mut new = std::fs::File::from(new);
            new.write_all(bytes)?;
            let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
            rustix::fs::fchown(&new, Some(uid), Some(gid))?;
            rustix::fs::fchmod(&new, Mode::from_raw_mode(owner.mode))?;
            // On the disk before the record says that it is written: the next boot looks for what the record says.
            new.sync_all()?;
            rustix::fs::renameat(&directory, temporary, &directory, name)?;
            rustix::fs::fsync(&directory)?;
            Ok(())
        })();
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&directory, temporary, AtFlags::empty());
        }
        written
    }
}
