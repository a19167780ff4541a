//! Package managers: of the system, and of languages and containers.

use super::{
    Holds::{Account, Content, Keys, Lines, Marks, Userinfo, Words},
    Known,
};

const SYSTEM: &str = "repository-credentials";
const REGISTRY: &str = "registry-token";
const TOKEN: &str = "a token or password for a registry";
const REPOSITORY: &str = "a password of a package repository";

pub(super) static ROWS: &[Known] = &[
    Known::new(
        SYSTEM,
        "apt",
        &["etc/apt/auth.conf", "etc/apt/auth.conf.d/*"],
        Words(&["password"]),
        REPOSITORY,
        "apt_auth.conf(5)",
    ),
    Known::new(
        SYSTEM,
        "apt",
        &[
            "etc/apt/sources.list",
            "etc/apt/sources.list.d/*",
            "etc/apt/mirrors/*",
        ],
        Userinfo,
        REPOSITORY,
        "sources.list(5)",
    ),
    Known::new(
        SYSTEM,
        "apt",
        &["etc/apt/apt.conf", "etc/apt/apt.conf.d/*"],
        Userinfo,
        "a password of a proxy",
        "apt-transport-http(1)",
    ),
    Known::new(
        SYSTEM,
        "dnf and yum",
        &[
            "etc/yum.repos.d/*",
            "etc/dnf/dnf.conf",
            "etc/yum.conf",
            "etc/dnf/repos.override.d/*",
            "etc/distro.repos.d/*",
        ],
        Keys(&["password", "proxy_password"]),
        REPOSITORY,
        "dnf.conf(5)",
    ),
    Known::new(
        SYSTEM,
        "dnf and yum",
        &["etc/dnf/vars/*", "etc/yum/vars/*"],
        Userinfo,
        REPOSITORY,
        "dnf.conf(5), VARIABLES",
    ),
    Known::new(
        SYSTEM,
        "zypper and SUSEConnect",
        &[
            "etc/zypp/credentials.d/*",
            "etc/zypp/credentials.cat",
            "etc/zypp/repos.d/*",
        ],
        Keys(&["password"]),
        REPOSITORY,
        "SUSE/connect-ng: README.md",
    ),
    Known::new(
        SYSTEM,
        "apk and pacman",
        &["etc/apk/repositories", "etc/pacman.d/*", "etc/pacman.conf"],
        Userinfo,
        REPOSITORY,
        "apk-repositories(5)",
    ),
    Known::secret(
        "Ubuntu Pro client",
        &[
            "var/lib/ubuntu-advantage/private/*",
            "etc/ubuntu-advantage/machine-token-overlay.json",
        ],
        Content,
        "the token of one machine's contract",
        "canonical/ubuntu-pro-client: uaclient/files/state_files.py",
    )
    .fix("run 'pro detach', and attach at first boot"),
    Known::secret(
        "Ubuntu Pro client",
        &["etc/ubuntu-advantage/uaclient.conf"],
        Keys(&["token", "contract_token"]),
        "the token of a contract",
        "canonical/ubuntu-pro-client: uaclient/config.py",
    ),
    Known::identity(
        "subscription-manager",
        &["etc/pki/consumer/*.pem", "etc/pki/entitlement/*.pem"],
        Content,
        "the certificate or key by which a subscription knows one machine",
        "candlepin/subscription-manager: src/rhsm/config.py",
    )
    .fix("run 'subscription-manager unregister' and 'clean'"),
    Known::identity(
        "RHN, Spacewalk and insights-client",
        &[
            "etc/sysconfig/rhn/systemid",
            "etc/insights-client/machine-id",
            "var/lib/insights/host-details.json",
        ],
        Content,
        "the id by which a subscription knows one machine",
        "RedHatInsights/insights-core: insights/client/constants.py",
    ),
    Known::identity(
        "snapd",
        &["var/lib/snapd/device/private-keys-v1/*"],
        Content,
        "the device key by which the snap store knows one machine",
        "snapcore/snapd: dirs/dirs.go",
    )
    .fix("seed the image without booting it"),
    Known::identity(
        "snapd",
        &["var/lib/snapd/state.json"],
        Keys(&["serial", "session-macaroon", "store-macaroon"]),
        "the serial by which the snap store knows one machine",
        "snapcore/snapd: dirs/dirs.go, SnapStateFile",
    ),
    Known::new(
        REGISTRY,
        "Docker, Podman and kubelet",
        &[
            "~/.docker/config.json",
            "~/.config/containers/auth.json",
            "etc/containers/auth.json",
            "var/lib/kubelet/config.json",
            "var/lib/kubelet/.dockercfg",
            "~/.dockercfg",
        ],
        Marks(&["\"auth\"", "\"identitytoken\"", "\"registrytoken\""]),
        TOKEN,
        "docker/cli: docs/reference/commandline/login.md",
    ),
    Known::new(
        REGISTRY,
        "Helm",
        &[
            "~/.config/helm/registry/config.json",
            "~/.config/helm/repositories.yaml",
        ],
        Keys(&["auth", "password"]),
        TOKEN,
        "helm/helm-www: content/en/docs/topics/registries.md",
    ),
    Known::new(
        REGISTRY,
        "npm and Yarn",
        &[
            "~/.npmrc",
            "~/.yarnrc.yml",
            "etc/npmrc",
            "usr/etc/npmrc",
            "usr/local/etc/npmrc",
        ],
        Marks(&["_authToken", "_password", "_auth", "npmAuthToken"]),
        TOKEN,
        "npm/cli: docs/lib/content/configuring-npm/npmrc.md",
    ),
    Known::new(
        REGISTRY,
        "twine, RubyGems and Cargo",
        &[
            "~/.pypirc",
            "~/.gem/credentials",
            "~/.local/share/gem/credentials",
            "~/.cargo/credentials",
            "~/.cargo/credentials.toml",
        ],
        Marks(&["password", "api_key", "token"]),
        TOKEN,
        "rust-lang/cargo: src/doc/src/reference/config.md",
    ),
    Known::new(
        REGISTRY,
        "pip",
        &["~/.pip/pip.conf", "~/.config/pip/pip.conf"],
        Marks(&["@"]),
        TOKEN,
        "pypa/pip: docs/html/topics/authentication.md",
    ),
    Known::new(
        REGISTRY,
        "pip and uv",
        &[
            "etc/pip.conf",
            "etc/xdg/pip/pip.conf",
            "~/.config/uv/uv.toml",
            "etc/uv/uv.toml",
        ],
        Account,
        TOKEN,
        "pypa/pip: docs/html/topics/authentication.md",
    ),
    Known::new(
        REGISTRY,
        "Maven, Gradle and sbt",
        &[
            "~/.m2/settings.xml",
            "~/.gradle/gradle.properties",
            "~/.sbt/.credentials",
            "~/.ivy2/.credentials",
        ],
        Marks(&["<password>", "assword="]),
        TOKEN,
        "apache/maven-site: content/apt/guides/mini/guide-encryption.apt",
    ),
    Known::new(
        REGISTRY,
        "Maven",
        &[
            "etc/maven/settings.xml",
            "opt/maven/conf/settings.xml",
            "usr/share/maven/conf/settings.xml",
        ],
        Keys(&["password", "passphrase"]),
        TOKEN,
        "maven.apache.org: 'Settings Reference', Servers",
    ),
    Known::new(
        REGISTRY,
        "Composer and NuGet",
        &[
            "~/.composer/auth.json",
            "~/.config/composer/auth.json",
            "~/.nuget/NuGet/NuGet.Config",
        ],
        Marks(&["\"password\"", "oauth", "\"bearer\"", "ClearTextPassword"]),
        TOKEN,
        "composer/composer: doc/articles/authentication-for-private-packages.md",
    ),
    Known::new(
        REGISTRY,
        "Hugging Face",
        &["~/.cache/huggingface/token", "~/.huggingface/token"],
        Lines,
        TOKEN,
        "huggingface/huggingface_hub: docs/source/en/package_reference/environment_variables.md",
    ),
];
