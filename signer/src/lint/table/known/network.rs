//! VPNs, tunnels and meshes.

use super::{
    Holds::{Content, Keys, Marks},
    Known,
};

pub(super) static ROWS: &[Known] = &[
    Known::identity(
        "Tailscale",
        &[
            "var/lib/tailscale/tailscaled.state",
            "var/lib/tailscale/derpmap.cached.json",
            "var/lib/tailscale/tailscaled.log*.conf",
        ],
        Content,
        "the node key by which a tailnet knows one machine",
        "tailscale/tailscale: paths/paths_unix.go",
    )
    .fix("stop tailscaled, remove /var/lib/tailscale, and run 'tailscale up' at first boot")
    .remade(),
    Known::secret(
        "WireGuard",
        &["etc/wireguard/*.conf"],
        Keys(&["PrivateKey", "PresharedKey"]),
        "the private key of a tunnel",
        "wg(8), CONFIGURATION FILE FORMAT",
    ),
    Known::secret(
        "WireGuard",
        &[
            "etc/wireguard/*private*",
            "etc/wireguard/*.key",
            "etc/wireguard/*psk*",
            "etc/wireguard/keys/*",
        ],
        Content,
        "the key of a tunnel",
        "wg(8), genkey",
    ),
    Known::secret(
        "systemd-networkd",
        &[
            "etc/systemd/network/*.netdev",
            "usr/lib/systemd/network/*.netdev",
            "etc/systemd/network/*.netdev.d/*.conf",
        ],
        Keys(&["PrivateKey", "PresharedKey"]),
        "the private key of a tunnel",
        "systemd.netdev(5)",
    ),
    Known::secret(
        "OpenVPN",
        &["etc/openvpn/**"],
        Marks(&[
            "-----BEGIN OpenVPN Static key",
            "-----BEGIN OpenVPN tls-crypt",
        ]),
        "a shared key of a tunnel",
        "openvpn(8), --secret and --tls-crypt",
    ),
    Known::secret(
        "OpenVPN",
        &[
            "etc/openvpn/*/*pass*",
            "etc/openvpn/*/*auth*.txt",
            "etc/openvpn/*pass*",
            "etc/openvpn/*auth*.txt",
        ],
        Content,
        "a password of a tunnel",
        "openvpn(8), --auth-user-pass and --askpass",
    ),
    Known::identity(
        "ZeroTier",
        &[
            "var/lib/zerotier-one/identity.secret",
            "var/lib/zerotier-one/identity.public",
            "var/lib/zerotier-one/authtoken.secret",
        ],
        Content,
        "the identity by which ZeroTier knows one machine",
        "zerotier/ZeroTierOne: service/README.md",
    )
    .remade(),
    Known::identity(
        "NetBird",
        &[
            "etc/netbird/config.json",
            "var/lib/netbird/config.json",
            "var/lib/netbird/default.json",
            "var/lib/netbird/state.json",
        ],
        Keys(&["PrivateKey", "SSHKey"]),
        "the key by which NetBird knows one machine",
        "netbirdio/netbird: client/internal/profilemanager/config.go",
    )
    .remade(),
    Known::secret(
        "cloudflared",
        &[
            "etc/cloudflared/*.json",
            "etc/cloudflared/cert.pem",
            "usr/local/etc/cloudflared/*.json",
            "usr/local/etc/cloudflared/cert.pem",
            "~/.cloudflared/*.json",
            "~/.cloudflared/cert.pem",
        ],
        Content,
        "credentials of a tunnel or of the Cloudflare account",
        "cloudflare/cloudflared: cmd/cloudflared/tunnel/credential_finder.go",
    ),
    Known::secret(
        "cloudflared",
        &[
            "etc/systemd/system/cloudflared*.service",
            "etc/init.d/cloudflared",
        ],
        Marks(&["--token "]),
        "the token of a tunnel, which 'cloudflared service install' writes there",
        "cloudflare/cloudflared: cmd/cloudflared/linux_service.go",
    ),
    Known::identity(
        "Nebula",
        &[
            "etc/nebula/host.crt",
            "etc/nebula/host.key",
            "etc/nebula/*.key",
            "etc/nebula/config/*.key",
        ],
        Content,
        "the certificate or key by which a mesh knows one machine",
        "slackhq/nebula: examples/config.yml",
    ),
    Known::secret(
        "Tinc",
        &[
            "etc/tinc/rsa_key.priv",
            "etc/tinc/*/rsa_key.priv",
            "etc/tinc/ed25519_key.priv",
            "etc/tinc/*/ed25519_key.priv",
        ],
        Content,
        "the private key by which a mesh knows one machine",
        "tinc.conf(5), FILES",
    ),
    Known::secret(
        "Pritunl, OpenConnect and strongSwan's swanctl",
        &[
            "etc/swanctl/swanctl.conf",
            "etc/swanctl/conf.d/*.conf",
            "etc/strongswan/swanctl/*.conf",
            "etc/pritunl.conf",
        ],
        Keys(&["secret", "password", "mongodb_uri"]),
        "a shared key of a tunnel",
        "swanctl.conf(5), secrets",
    ),
    Known::secret(
        "ngrok and frp",
        &[
            "~/.config/ngrok/ngrok.yml",
            "~/.ngrok2/ngrok.yml",
            "etc/ngrok.yml",
            "etc/frp/*.toml",
            "etc/frp/*.ini",
        ],
        Keys(&["authtoken", "api_key", "token", "auth.token"]),
        "the token of a tunnel",
        "ngrok.com/docs: 'Agent configuration file'",
    ),
    Known::identity(
        "Teleport",
        &["var/lib/teleport/host_uuid", "var/lib/teleport/proc/**"],
        Content,
        "the UUID by which Teleport knows one machine",
        "gravitational/teleport: lib/utils/utils.go",
    )
    .remade(),
    Known::secret(
        "Teleport",
        &["etc/teleport.yaml", "etc/teleport.d/*.yaml"],
        Keys(&["auth_token", "token_name"]),
        "the token that joins machines to a cluster",
        "gravitational/teleport: docs/pages/includes/config-reference/instance-wide.yaml",
    )
    .fix("join by the method of the cloud, or give the token at first boot"),
];
