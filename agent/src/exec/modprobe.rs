//! Modules of the kernel, by the image's own `modprobe`.

use std::time::Duration;

use super::{Failure, SealedImage, tool};

/// Hardware that does not answer must not hold the boot for ever.
const PATIENCE: Duration = Duration::from_mins(1);

/// Loads a module of the kernel, with those that it needs.
pub async fn modprobe(image: SealedImage<'_>, module: &str) -> Result<(), Failure> {
    // Not an option, whatever it is called.
    tool::must(image, "modprobe", "kmod", &["--", module], PATIENCE).await
}
