//! Joins to directories and clouds, databases, installers, and what logins and certificates are made with.

use super::{
    Holds::{Content, Keys, Lines, Words},
    Known,
};

const PASSWORD: &str = "stored-password";

pub(super) static ROWS: &[Known] = &[
    Known::identity(
        "Kerberos, FreeIPA and realmd",
        &[
            "etc/krb5.keytab",
            "etc/*.keytab",
            "var/lib/ipa-client/sysrestore/*",
        ],
        Content,
        "the keys by which a realm knows one machine",
        "krb5.conf(5), default_keytab_name",
    )
    .fix(
        "leave the realm ('realm leave', 'ipa-client-install --uninstall'), and join at first boot",
    ),
    Known::identity(
        "Samba and winbind",
        &[
            "var/lib/samba/private/secrets.tdb",
            "var/lib/samba/private/*.keytab",
        ],
        Content,
        "the password by which a domain knows one machine",
        "smb.conf(5), private dir",
    )
    .remade(),
    Known::new(
        PASSWORD,
        "SSSD, nslcd and OpenLDAP's clients",
        &["etc/sssd/sssd.conf", "etc/sssd/conf.d/*.conf"],
        Keys(&["ldap_default_authtok", "client_secret"]),
        "a password of a directory",
        "SSSD/sssd: src/man/sssd-ldap.5.xml",
    ),
    Known::new(
        PASSWORD,
        "SSSD, nslcd and OpenLDAP's clients",
        &[
            "etc/nslcd.conf",
            "etc/ldap.conf",
            "etc/ldap/ldap.conf",
            "etc/libnss-ldap.conf",
            "etc/pam_ldap.conf",
        ],
        Words(&["bindpw", "rootpwmodpw"]),
        "a password of a directory",
        "nslcd.conf(5)",
    ),
    Known::new(
        PASSWORD,
        "SSSD, nslcd and OpenLDAP's clients",
        &[
            "etc/ldap.secret",
            "etc/libnss-ldap.secret",
            "etc/pam_ldap.secret",
        ],
        Content,
        "a password of a directory",
        "nss_ldap(5), rootbinddn",
    ),
    Known::new(
        PASSWORD,
        "debconf",
        &["var/cache/debconf/passwords.dat"],
        Keys(&["Value"]),
        "a password that a package asked for when it was installed",
        "debconf.conf(5), the passwords database",
    ),
    Known::new(
        PASSWORD,
        "Anaconda",
        &["~/anaconda-ks.cfg", "~/original-ks.cfg"],
        Words(&["--plaintext", "--password"]),
        "a password that the image was installed with",
        "docs.redhat.com: 'Kickstart commands and options reference', rootpw",
    )
    .warns(),
    Known::new(
        PASSWORD,
        "cloud-init",
        &[
            "etc/cloud/cloud.cfg",
            "etc/cloud/cloud.cfg.d/*",
            "var/lib/cloud/seed/**",
        ],
        Keys(&["password", "passwd", "plain_text_passwd", "hashed_passwd"]),
        "a password of an account of each host",
        "canonical/cloud-init: doc/rtd/reference/base_config_reference.rst",
    ),
    Known::identity(
        "Azure Linux agent",
        &[
            "var/lib/waagent/provisioned",
            "var/lib/waagent/ovf-env.xml",
            "var/lib/waagent/*.prv",
        ],
        Content,
        "the provisioning of one machine",
        "Azure/WALinuxAgent: azurelinuxagent/pa/deprovision/default.py",
    )
    .fix("run 'waagent -deprovision' as the last step")
    .remade(),
    Known::identity(
        "Azure Connected Machine agent",
        &[
            "var/opt/azcmagent/agentconfig.json",
            "var/opt/azcmagent/certs/*",
        ],
        Content,
        "the identity by which Azure knows one machine",
        "MicrosoftDocs/azure-docs: articles/azure-arc/servers/agent-overview.md",
    )
    .fix("run 'azcmagent disconnect', and connect at first boot"),
    Known::identity(
        "Google's guest agent",
        &["etc/google_instance_id"],
        Content,
        "the id of the instance that the image was made of",
        "GoogleCloudPlatform/guest-agent: README.md",
    )
    .remade(),
    Known::identity(
        "Google's guest agent",
        &["etc/default/instance_configs.cfg"],
        Keys(&["instance_id"]),
        "the id of the instance that the image was made of",
        "GoogleCloudPlatform/guest-agent: README.md",
    )
    .remade(),
    Known::secret(
        "Microsoft Defender for Endpoint",
        &["etc/opt/microsoft/mdatp/mdatp_onboard.json"],
        Content,
        "the onboarding of the organisation's machines",
        "MicrosoftDocs/defender-docs: defender-endpoint/linux-install-manually.md",
    )
    .fix("onboard at first boot"),
    Known::identity(
        "JumpCloud",
        &["opt/jc/jcagent.conf"],
        Keys(&["systemKey"]),
        "the key by which JumpCloud knows one machine",
        "TheJumpCloud/support: README.md",
    )
    .remade(),
    Known::secret(
        "Okta Advanced Server Access",
        &["var/lib/sftd/enrollment.token"],
        Content,
        "the token that enrols machines",
        "help.okta.com: 'Enroll a server'",
    ),
    Known::secret(
        "Duo",
        &["etc/duo/*.conf", "etc/security/pam_duo.conf"],
        Keys(&["skey"]),
        "the key of a Duo application",
        "duosecurity/duo_unix: README.md",
    ),
    Known::secret(
        "Google Authenticator",
        &["~/.google_authenticator"],
        Content,
        "the second factor of an account",
        "google/google-authenticator-libpam: README.md",
    ),
    Known::identity(
        "Checkmk agent",
        &[
            "var/lib/cmk-agent/registered_connections.json",
            "var/lib/cmk-agent/pre_configured_connections.json",
        ],
        Content,
        "the registration of one machine",
        "Checkmk/checkmk: packages/cmk-agent-ctl/src/configuration/config.rs",
    ),
    Known::identity(
        "Icinga 2",
        &[
            "var/lib/icinga2/certs/*.key",
            "var/lib/icinga2/certs/*.crt",
            "var/lib/icinga2/certs/ticket",
        ],
        Content,
        "the certificate or ticket by which Icinga knows one machine",
        "Icinga/icinga2: doc/06-distributed-monitoring.md",
    ),
    Known::secret(
        "Lacework agent",
        &["var/lib/lacework/config/config.json"],
        Keys(&["AccessToken", "tokens", "token"]),
        "the token of an account",
        "lacework/go-sdk: README.md",
    ),
    Known::identity(
        "KernelCare",
        &["etc/sysconfig/kcare/systemid"],
        Content,
        "the id by which an update service knows one machine",
        "docs.tuxcare.com: 'KernelCare Enterprise', registration",
    ),
    Known::secret(
        "Ksplice",
        &["etc/uptrack/uptrack.conf"],
        Keys(&["accesskey"]),
        "the key of a subscription",
        "docs.oracle.com: 'Ksplice User's Guide'",
    ),
    Known::identity(
        "MySQL",
        &["var/lib/mysql/auto.cnf", "var/lib/mysql/*/auto.cnf"],
        Content,
        "the UUID by which replication knows one server",
        "dev.mysql.com: 'Replication and Binary Logging Options', server_uuid",
    )
    .remade(),
    Known::secret(
        "RabbitMQ, CouchDB and other Erlang programs",
        &[
            "~/.erlang.cookie",
            "var/lib/rabbitmq/.erlang.cookie",
            "opt/couchdb/.erlang.cookie",
        ],
        Content,
        "the cookie by which nodes of a cluster run each other's code",
        "rabbitmq/rabbitmq-website: docs/clustering.md",
    )
    .remade(),
    Known::secret(
        "Elasticsearch, OpenSearch and Kibana",
        &[
            "etc/elasticsearch/elasticsearch.keystore",
            "etc/elasticsearch/certs/*",
            "etc/opensearch/opensearch.keystore",
            "etc/kibana/kibana.keystore",
            "etc/logstash/logstash.keystore",
        ],
        Content,
        "a keystore, or a certificate that the package made when it was installed",
        "elastic/elasticsearch: docs/reference/setup/secure-settings.asciidoc",
    ),
    Known::secret(
        "Redis and Valkey",
        &["etc/redis/*.conf", "etc/redis.conf", "etc/valkey/*.conf"],
        Words(&["requirepass", "masterauth", "primaryauth"]),
        "the password of a server",
        "redis/redis: redis.conf",
    ),
    Known::secret(
        "MongoDB",
        &[
            "etc/mongo*key*",
            "var/lib/mongo*/*keyfile*",
            "etc/mongodb/*key*",
        ],
        Content,
        "the key by which members of a cluster know each other",
        "mongodb/docs: source/core/security-internal-authentication.txt",
    ),
    Known::secret(
        "Mosquitto",
        &[
            "etc/mosquitto/mosquitto.conf",
            "etc/mosquitto/conf.d/*.conf",
        ],
        Words(&["remote_password", "password"]),
        "the password of a bridge",
        "mosquitto.conf(5)",
    ),
    Known::secret(
        "Certbot, lego and acme.sh",
        &[
            "etc/letsencrypt/accounts/**",
            "~/.secrets/**",
            "~/.acme.sh/account.conf",
            "var/lib/caddy/.local/share/caddy/acme/**",
        ],
        Content,
        "the account of a certificate authority, or a password of its challenges",
        "certbot/certbot: certbot/docs/using.rst",
    ),
    Known::secret(
        "Certbot",
        &["etc/letsencrypt/*.ini"],
        Lines,
        "a password of a name server",
        "certbot/certbot: certbot/docs/using.rst",
    ),
];
