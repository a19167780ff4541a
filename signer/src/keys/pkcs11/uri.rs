//! `pkcs11:` URIs. Source: RFC 7512.

use std::{fmt, path::PathBuf};

use crate::io::output;

/// Reference to a key of a token, and the module that reaches the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// The token's label.
    pub token: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
    /// The label of the private key.
    pub object: Option<String>,
    /// The id that the private key and its public half share.
    pub id: Option<Vec<u8>>,
    /// The maker's library.
    pub module: PathBuf,
    /// A file whose first line is the PIN.
    pub pin_source: Option<PathBuf>,
}

impl Uri {
    /// Parses what follows `pkcs11:`. What is not understood is refused, as the RFC says: it could mean
    /// another key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut token, mut serial, mut object, mut id) = (None, None, None, None);
        let (mut module, mut pin_source, mut kind) = (None, None, None);
        for (name, value) in attributes(path, ';')? {
            match name {
                "token" => set(name, &mut token, utf8(value)?)?,
                "serial" => set(name, &mut serial, utf8(value)?)?,
                "object" => set(name, &mut object, utf8(value)?)?,
                "id" => set(name, &mut id, value)?,
                "type" if value == b"private" => set(name, &mut kind, ())?,
                _ => {
                    return Err(format!(
                        "the attribute '{}' is not supported: use token, serial, object, id and \
                         type=private",
                        output::plain(name)
                    ));
                }
            }
        }
        for (name, value) in attributes(query, '&')? {
            match name {
                "module-path" => set(name, &mut module, absolute(name, &utf8(value)?)?)?,
                "pin-source" => {
                    let value = utf8(value)?;
                    let file = value.strip_prefix("file:").unwrap_or(&value);
                    let file = file.strip_prefix("//").unwrap_or(file);
                    set(name, &mut pin_source, absolute(name, file)?)?;
                }
                "pin-value" => {
                    return Err("pin-value would show the PIN to every user of this host: \
                                use pin-source=/FILE"
                        .to_owned());
                }
                _ => {
                    return Err(format!(
                        "the attribute '{}' is not supported: use module-path and pin-source",
                        output::plain(name)
                    ));
                }
            }
        }
        if object.is_none() && id.is_none() {
            return Err("expected object=LABEL or id=%01, which name the key".to_owned());
        }
        Ok(Self {
            token,
            serial,
            object,
            id,
            module: module.ok_or("expected ?module-path=/…, the library of the device's maker")?,
            pin_source,
        })
    }
}

/// As it is told in messages: without where its PIN is.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "pkcs11:";
        let texts = [
            ("token", &self.token),
            ("serial", &self.serial),
            ("object", &self.object),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                write!(f, "{separator}{name}={}", output::plain(text))?;
                separator = ";";
            }
        }
        if let Some(id) = &self.id {
            write!(f, "{separator}id=")?;
            id.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
        }
        Ok(())
    }
}

fn attributes(text: &str, separator: char) -> Result<Vec<(&str, Vec<u8>)>, String> {
    let parts = text.split(separator).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("expected NAME=VALUE, found '{}'", output::plain(part)))?;
            Ok((name, decoded(value)?))
        })
        .collect()
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("expected two hexadecimal digits after '%'".to_owned());
        };
        bytes.extend(u8::try_from(high * 16 + low));
    }
    if bytes.is_empty() {
        return Err("an attribute is empty".to_owned());
    }
    Ok(bytes)
}

fn utf8(value: Vec<u8>) -> Result<String, String> {
    String::from_utf8(value).map_err(|_| "expected UTF-8".to_owned())
}

/// A path that the loader would look for elsewhere is another library.
fn absolute(name: &str, value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    if path.is_absolute() && !value.contains('\0') {
        Ok(path)
    } else {
        Err(format!("{name}: expected an absolute path"))
    }
}

fn set<T>(name: &str, to: &mut Option<T>, value: T) -> Result<(), String> {
    match to.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("duplicate attribute {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "module-path=/usr/lib/softhsm/libsofthsm2.so";

    #[test]
    fn pkcs11_uri_parses_token_object_id_and_pin_source() {
        let uri = Uri::parse(&format!(
            "token=the%20token;object=release;id=%01%aB;type=private?{MODULE}&pin-source=file:/run/pin"
        ))
        .unwrap();
        assert_eq!(uri.token.as_deref(), Some("the token"));
        assert_eq!(uri.object.as_deref(), Some("release"));
        assert_eq!(uri.id.as_deref(), Some(&[1, 0xab][..]));
        assert_eq!(uri.module, PathBuf::from("/usr/lib/softhsm/libsofthsm2.so"));
        assert_eq!(uri.pin_source, Some("/run/pin".into()));
        assert_eq!(
            uri.to_string(),
            "pkcs11:token=the token;object=release;id=%01%AB"
        );
        for source in ["/run/pin", "file:///run/pin", "file:%2Frun%2Fpin"] {
            let text = format!("id=%00?pin-source={source}&{MODULE}");
            assert_eq!(Uri::parse(&text).unwrap().pin_source, uri.pin_source);
        }
    }

    #[test]
    fn unknown_or_invalid_pkcs11_uri_attribute_is_rejected() {
        for (text, says) in [
            (format!("token=x?{MODULE}"), "object=LABEL"),
            ("object=x".to_owned(), "module-path"),
            ("object=x?module-path=soft.so".to_owned(), "absolute"),
            (format!("object=x?{MODULE}&pin-source=pin"), "absolute"),
            (format!("object=x?{MODULE}&pin-source=|cat"), "absolute"),
            (format!("object=x?{MODULE}&pin-value=1234"), "pin-source"),
            (format!("object=x?{MODULE}&module-name=x"), "not supported"),
            (format!("object=x;type=public?{MODULE}"), "not supported"),
            (format!("object=x;slot-id=1?{MODULE}"), "not supported"),
            (format!("object=x;object=y?{MODULE}"), "duplicate"),
            (format!("object?{MODULE}"), "NAME=VALUE"),
            (format!("object=?{MODULE}"), "empty"),
            (format!("id=%1?{MODULE}"), "hexadecimal"),
            (format!("object=%ff?{MODULE}"), "UTF-8"),
        ] {
            let error = Uri::parse(&text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("1234"), "{error}");
        }
    }
}
