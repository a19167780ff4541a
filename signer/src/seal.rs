//! From a root and a declaration to a seal in its place.
//!
//! Data flows one way: root -> `assemble` (measured, refused what no host could run) -> `bundle` (unsigned, then
//! signed) -> `place`.

pub mod assemble;
pub mod bundle;
pub mod critical;
pub mod floor;
pub mod measured;
pub mod os_release;
pub mod place;
pub mod steps;
pub mod templates;
