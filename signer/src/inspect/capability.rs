//! File capabilities in words. Source: `struct vfs_cap_data` of the kernel's `linux/capability.h`.

/// The text of a `security.capability` value, as `getcap` writes it; hex of what is not one.
pub fn describe(value: &[u8]) -> String {
    parse(value)
        .unwrap_or_else(|| format!("unknown ({})", earmark_manifest::digest::encode_hex(value)))
}

fn parse(value: &[u8]) -> Option<String> {
    let word = |index: usize| -> Option<u64> {
        let bytes = value.get(index * 4..index * 4 + 4)?;
        Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    let magic = word(0)?;
    let namespace = match (magic & 0xff00_0000, value.len()) {
        (0x0200_0000, 20) => None,
        (0x0300_0000, 24) => Some(word(5)?),
        _ => return None,
    };
    let permitted = word(1)? | word(3)? << 32;
    let inheritable = word(2)? | word(4)? << 32;
    let effective = if magic & 1 == 1 { "e" } else { "" };
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for bit in 0..64u32 {
        let (p, i) = (permitted >> bit & 1 == 1, inheritable >> bit & 1 == 1);
        if !p && !i {
            continue;
        }
        let flags = format!(
            "{effective}{}{}",
            if i { "i" } else { "" },
            if p { "p" } else { "" }
        );
        let name = name(bit);
        match groups.iter_mut().find(|(known, _)| *known == flags) {
            Some((_, names)) => names.push(name),
            None => groups.push((flags, vec![name])),
        }
    }
    let mut text: Vec<String> = groups
        .into_iter()
        .map(|(flags, names)| format!("{}={flags}", names.join(",")))
        .collect();
    if text.is_empty() {
        text.push("none".to_owned());
    }
    if let Some(root) = namespace.filter(|root| *root != 0) {
        text.push(format!("[rootid={root}]"));
    }
    Some(text.join(" "))
}

fn name(bit: u32) -> String {
    usize::try_from(bit)
        .ok()
        .and_then(|bit| NAMES.get(bit))
        .map_or_else(|| format!("cap_{bit}"), |name| format!("cap_{name}"))
}

/// By number, from 0.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn value(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn capabilities_are_named_as_getcap_does() {
        let ping = value(&[0x0200_0001, 1 << 13, 0, 0, 0]);
        assert_eq!(describe(&ping), "cap_net_raw=ep");
        let several = value(&[0x0200_0000, 1 << 12 | 1 << 13, 1, 1 << 7, 0]);
        assert_eq!(
            describe(&several),
            "cap_chown=i cap_net_admin,cap_net_raw,cap_bpf=p"
        );
        let namespaced = value(&[0x0300_0001, 1 << 21, 0, 0, 0, 1000]);
        assert_eq!(describe(&namespaced), "cap_sys_admin=ep [rootid=1000]");
        assert_eq!(describe(b"\x01\x02"), "unknown (0102)");
        assert_eq!(describe(&value(&[0x0200_0000, 0, 0, 0, 0])), "none");
    }
}
