//! Programs of the running image for stages that have none of it at hand: its seal is verified and read for each
//! request.

use anyhow::{Context, Result};
use earmark_manifest::{name::UnitName, verify::VerifiedManifest};
use earmark_scan::{Root, seal};

use super::{SealedImage, modprobe::modprobe, sealed::SealedFiles};

/// Loads modules of the kernel by the image's own, sealed `modprobe`. Returns what went wrong; the others
/// are loaded all the same.
pub fn load_modules(root: &Root, modules: &[&str]) -> Vec<String> {
    if modules.is_empty() {
        return Vec::new();
    }
    let load = async |image: SealedImage<'_>| {
        let mut problems = Vec::new();
        for module in modules {
            if let Err(failure) = modprobe(image, module).await {
                problems.push(format!("failed to load module '{module}': {failure}"));
            }
        }
        problems
    };
    with_image(root, load).unwrap_or_else(|problem| {
        let names = modules.join(", ");
        vec![format!("failed to load the modules {names}: {problem}")]
    })
}

/// Asks the service manager for something by the image's own, sealed `systemctl`.
pub fn systemctl(root: &Root, words: &[String]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let asked = with_image(root, async |image| {
        super::systemctl::systemctl(image, &words).await
    });
    asked?.map_err(|failure| failure.to_string())
}

/// Starts a sealed unit of the image, and does not wait for it.
pub fn start_unit(root: &Root, unit: &UnitName) -> Result<(), String> {
    let started = with_image(root, async |image| {
        super::systemctl::enable_and_start(image, &[], std::slice::from_ref(unit)).await
    });
    started?.map_err(|failure| failure.to_string())
}

/// Verifies the seal of the running image, as far as signatures go, and refuses one below its floor.
///
/// Under `report` a host goes on that did not verify, but not with the steps of an older seal.
pub fn verified_manifest(root: &Root) -> Result<VerifiedManifest> {
    let trust = seal::read_trust(root)?;
    let manifest = seal::verified(root, &trust).context("the seal is not usable")?;
    manifest.refuse_below(&seal::read_floor(root)?)?;
    Ok(manifest)
}

/// Runs what runs programs of the signed tree.
fn with_image<T>(root: &Root, run: impl AsyncFnOnce(SealedImage<'_>) -> T) -> Result<T, String> {
    let text = |error: anyhow::Error| format!("{error:#}");
    let manifest = verified_manifest(root).map_err(text)?;
    let sealed = SealedFiles::of(&manifest).map_err(text)?;
    let image = SealedImage {
        root,
        sealed: &sealed,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("failed to start the runtime: {error}"))?;
    Ok(runtime.block_on(run(image)))
}
