//! `volume`: a device is mounted, and made a file system on if it is blank.
//!
//! Protects against formatting what somebody has data on: a device is formatted at first boot alone, and
//! only if nothing uses it, no probe finds anything on it, and it reads as zero wherever it is looked at;
//! or if this very step of this very host was formatting it when the power went. Does not protect
//! against data in the middle of a device that begins and ends with nothing, between the samples.

mod content;
mod device;
mod marker;
mod mounts;

use std::time::{Duration, Instant};

use earmark_manifest::{
    declaration::{Filesystem, Template, VolumeDevice},
    path::ImagePath,
};

use self::{content::Content, device::Device, marker::Marker};
use super::{Context, StepResult};
use crate::exec::{Failure, tool};

/// A volume can be attached minutes after its instance runs.
const PATIENT: Duration = Duration::from_mins(5);
/// At later boots it is there.
const BRIEF: Duration = Duration::from_mins(2);
/// Between two looks for it.
const PAUSE: Duration = Duration::from_millis(200);
/// For making or growing a file system on a large and slow one.
const LONG: Duration = Duration::from_mins(20);

/// Mounts the volume; makes its file system, if it is blank and this is first boot.
pub async fn apply(
    context: &Context<'_>,
    device: &Template,
    filesystem: Filesystem,
    mount: &ImagePath,
    grow: bool,
    is_first: bool,
) -> StepResult {
    if !context.image.root.is_live() {
        return Err("volumes can be mounted only on the running host"
            .to_owned()
            .into());
    }
    let declared: VolumeDevice = context.bindings.render(device)?.parse()?;
    let device = wait(&declared, if is_first { PATIENT } else { BRIEF }).await?;
    let is_mounted = mounts::device_at(mount)? == Some(device.number);
    if !is_mounted {
        prepare(context, &device, filesystem, mount, is_first).await?;
        mounts::mount(context, &device, filesystem, mount).await?;
    }
    // Once mounted: xfs_growfs takes nothing else, and resize2fs wants a check first of what is not mounted.
    if grow {
        self::grow(context, &device, filesystem, mount).await?;
    }
    Ok(())
}

async fn wait(declared: &VolumeDevice, most: Duration) -> Result<Device, Failure> {
    let start = Instant::now();
    loop {
        if let Some(device) = Device::find(declared)? {
            return Ok(device);
        }
        if start.elapsed() >= most {
            let most = most.as_secs();
            return Err(format!(
                "'{declared}' did not appear in {most} s: is the volume attached to this instance?"
            )
            .into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Sees to it that the device has the file system that is declared.
async fn prepare(
    context: &Context<'_>,
    device: &Device,
    filesystem: Filesystem,
    mount: &ImagePath,
    is_first: bool,
) -> StepResult {
    content::must_be_unused(device)?;
    let name = device.path.display();
    let found = content::probe(context, device).await?;
    let marker = Marker::read(context.image.root);
    let was_begun = |marker: &&Marker| is_first && marker.is_about(context, device, mount);
    let begun = marker.as_ref().filter(was_begun);
    let kind = filesystem.name();
    match (&found, begun) {
        // What was begun was mounted by nobody: the marker goes first.
        (Content::Filesystem { uuid, .. }, Some(marker)) if *uuid == marker.uuid => {}
        // Unknown data is what a power cut leaves of mkfs. Without a marker it is somebody's.
        (Content::Blank | Content::Unknown, Some(_)) => {}
        // Also at first boot: a volume that is attached to a new host brings its data.
        (Content::Filesystem { kind: found, .. }, _) if found == kind => return Ok(()),
        (Content::Blank, None) if is_first => {}
        (Content::Blank, None) => {
            return Err(format!(
                "'{name}' is blank: a volume is formatted only during first boot, which is done"
            )
            .into());
        }
        (Content::Filesystem { .. } | Content::Other(_) | Content::Unknown, _) => {
            return Err(format!(
                "'{name}' has {found}: expected {kind}, as declared; a device with data is never \
                 formatted"
            )
            .into());
        }
    }
    make(context, device, filesystem, mount, found == Content::Blank).await
}

async fn make(
    context: &Context<'_>,
    device: &Device,
    filesystem: Filesystem,
    mount: &ImagePath,
    is_blank: bool,
) -> StepResult {
    let marker = Marker::new(context, device, mount)?;
    marker.write(context.image.root)?;
    let (path, uuid) = (device.path.display().to_string(), marker.uuid.as_str());
    complain!(
        "earmark-agent: making a new {} file system on '{path}'",
        filesystem.name()
    );
    match filesystem {
        Filesystem::Ext4 => {
            // It is blank already, so that there is nothing to discard.
            let words = ["-q", "-t", "ext4", "-U", uuid, "-E", "nodiscard", &path];
            tool::must(context.image, "mkfs.ext4", "e2fsprogs", &words, LONG).await?;
        }
        Filesystem::Xfs => {
            let uuid = format!("uuid={uuid}");
            let mut words = vec!["-q", "-K", "-m", &uuid];
            // It refuses what its own interrupted run left.
            words.extend((!is_blank).then_some("-f"));
            words.push(&path);
            tool::must(context.image, "mkfs.xfs", "xfsprogs", &words, LONG).await?;
        }
    }
    device.sync()?;
    // mkfs ended with 0; but what blkid does not know now, a later boot would refuse as unknown data.
    let expected = Content::Filesystem {
        kind: filesystem.name().to_owned(),
        uuid: uuid.to_owned(),
    };
    let found = content::probe(context, device).await?;
    if found != expected {
        return Err(format!("'{path}' was formatted, and has {found}").into());
    }
    Marker::clear(context.image.root)
}

async fn grow(
    context: &Context<'_>,
    device: &Device,
    filesystem: Filesystem,
    mount: &ImagePath,
) -> StepResult {
    match filesystem {
        Filesystem::Ext4 => {
            let path = device.path.display().to_string();
            tool::must(context.image, "resize2fs", "e2fsprogs", &[&path], LONG).await
        }
        Filesystem::Xfs => {
            let mount = mounts::text(mount);
            tool::must(
                context.image,
                "xfs_growfs",
                "xfsprogs",
                &["-d", &mount],
                LONG,
            )
            .await
        }
    }
}
