//! View of this host for the library that finds credentials.

use std::{collections::HashMap, path::PathBuf};

use reqsign_core::{Env, Error, FileRead, Result};

use crate::io::files;

/// Files and variables of this host.
#[derive(Debug, Clone, Copy)]
pub struct Host;

/// Profiles and tokens are small.
const FILE: usize = 1 << 20;

impl FileRead for Host {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        files::read(path.as_ref(), FILE, "AWS configuration")
            .map_err(|error| Error::config_invalid(error.to_string()))
    }
}

impl Env for Host {
    fn var(&self, key: &str) -> Option<String> {
        std::env::var(key).ok()
    }

    /// Variables that are not UTF-8 are none of AWS's; asked for all as text, the library would panic.
    fn vars(&self) -> HashMap<String, String> {
        std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        std::env::home_dir()
    }
}
