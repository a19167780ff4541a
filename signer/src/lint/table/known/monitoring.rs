//! Agents of monitoring and logging.

use super::{
    Holds::{Content, Keys},
    Known,
};

pub(super) static ROWS: &[Known] = &[
    Known::secret(
        "Datadog agent",
        &[
            "etc/datadog-agent/datadog.yaml",
            "etc/datadog-agent/conf.d/**",
            "etc/dd-agent/datadog.conf",
        ],
        Keys(&[
            "api_key",
            "app_key",
            "password",
            "cluster_agent.auth_token",
            "site_api_key",
        ]),
        "a key of the Datadog account",
        "DataDog/datadog-agent: pkg/config/config_template.yaml",
    ),
    Known::identity(
        "Datadog agent",
        &[
            "etc/datadog-agent/auth_token",
            "etc/datadog-agent/cluster_agent.auth_token",
            "etc/datadog-agent/install.json",
        ],
        Content,
        "a token or id that the Datadog agent made for one machine",
        "DataDog/datadog-agent: pkg/api/security/security.go",
    )
    .remade(),
    Known::secret(
        "New Relic infrastructure agent",
        &[
            "etc/newrelic-infra.yml",
            "etc/newrelic-infra/**",
            "etc/newrelic/newrelic.yml",
            "etc/newrelic/newrelic.cfg",
        ],
        Keys(&["license_key", "api_key", "insights_insert_key"]),
        "a licence key of the New Relic account",
        "newrelic/infrastructure-agent: pkg/config/config.go",
    ),
    Known::identity(
        "New Relic infrastructure agent",
        &[
            "var/db/newrelic-infra/data/.agent-id",
            "var/db/newrelic-infra/data/agent-id*",
        ],
        Content,
        "the id by which New Relic knows one machine",
        "newrelic/infrastructure-agent: pkg/config/config.go",
    )
    .remade(),
    Known::secret(
        "Zabbix agent",
        &[
            "etc/zabbix/*.psk",
            "etc/zabbix/keys/*",
            "var/lib/zabbix/*.psk",
            "etc/zabbix/zabbix_*.psk",
            "etc/zabbix_agentd.psk",
        ],
        Content,
        "the key that the Zabbix server shares with an agent",
        "zabbix/zabbix: conf/zabbix_agentd.conf",
    ),
    Known::identity(
        "Zabbix agent",
        &[
            "etc/zabbix/zabbix_agentd.conf",
            "etc/zabbix/zabbix_agent2.conf",
            "etc/zabbix/zabbix_agentd.conf.d/*.conf",
            "etc/zabbix/zabbix_agentd.d/*.conf",
            "etc/zabbix/zabbix_agent2.d/*.conf",
        ],
        Keys(&["Hostname"]),
        "a host name by which the Zabbix server knows one machine",
        "zabbix/zabbix: conf/zabbix_agentd.conf",
    )
    .fix("set HostnameItem=system.hostname instead")
    .warns(),
    Known::secret(
        "Prometheus, Grafana Agent and Alloy",
        &[
            "etc/prometheus/*.yml",
            "etc/prometheus/*.yaml",
            "etc/grafana-agent.yaml",
            "etc/grafana-agent*/*",
            "etc/agent/agent.yaml",
            "etc/alloy/*",
            "etc/promtail/*",
            "etc/loki/*.y*ml",
        ],
        Keys(&[
            "password",
            "bearer_token",
            "credentials",
            "client_secret",
            "api_key",
            "slack_api_url",
            "secret_key",
        ]),
        "a password of a server that metrics or logs are sent to",
        "prometheus/prometheus: docs/configuration/configuration.md",
    ),
    Known::identity(
        "Grafana Agent and Alloy",
        &[
            "etc/agent/agent_seed.json",
            "var/lib/alloy/data/alloy_seed.json",
            "var/lib/grafana-agent/*/agent_seed.json",
            "tmp/agent_seed.json",
        ],
        Content,
        "the id by which Grafana knows one agent",
        "grafana/alloy: internal/alloyseed/alloyseed.go",
    )
    .remade(),
    Known::secret(
        "Grafana",
        &["etc/grafana/grafana.ini", "etc/grafana/provisioning/**"],
        Keys(&[
            "admin_password",
            "client_secret",
            "password",
            "basicAuthPassword",
            "bind_password",
        ]),
        "a password of Grafana's",
        "grafana/grafana: conf/defaults.ini",
    ),
    Known::identity(
        "Splunk Universal Forwarder",
        &[
            "opt/splunkforwarder/etc/instance.cfg",
            "opt/splunk/etc/instance.cfg",
        ],
        Content,
        "the GUID by which Splunk knows one machine",
        "help.splunk.com: instance.cfg.conf",
    )
    .fix("run 'splunk clone-prep-clear-config'")
    .remade(),
    Known::identity(
        "Splunk Universal Forwarder",
        &[
            "opt/splunkforwarder/etc/system/local/server.conf",
            "opt/splunk/etc/system/local/server.conf",
        ],
        Keys(&["serverName"]),
        "the name by which Splunk knows one machine",
        "help.splunk.com: server.conf",
    )
    .fix("run 'splunk clone-prep-clear-config'")
    .remade(),
    Known::secret(
        "Splunk Universal Forwarder",
        &[
            "opt/splunkforwarder/etc/auth/splunk.secret",
            "opt/splunkforwarder/etc/passwd",
            "opt/splunkforwarder/etc/system/local/user-seed.conf",
            "opt/splunk/etc/auth/splunk.secret",
            "opt/splunk/etc/passwd",
            "opt/splunk/etc/system/local/user-seed.conf",
        ],
        Content,
        "the key or the accounts of a Splunk instance",
        "help.splunk.com: user-seed.conf, 'Deploy secure passwords across multiple servers'",
    )
    .remade(),
    Known::identity(
        "Elastic Agent",
        &[
            "opt/Elastic/Agent/fleet.enc",
            "opt/Elastic/Agent/fleet.yml",
            "opt/Elastic/Agent/state.enc",
            "opt/Elastic/Agent/data/*/state.enc",
            "opt/Elastic/Agent/vault/**",
            "etc/elastic-agent/fleet.enc",
            "etc/elastic-agent/vault/**",
            "var/lib/elastic-agent/fleet.enc",
            "var/lib/elastic-agent/vault/**",
        ],
        Content,
        "the enrolment of one machine in Fleet",
        "elastic/elastic-agent: internal/pkg/agent/application/paths/files.go",
    )
    .fix("install with --delay-enroll, or enrol at first boot"),
    Known::secret(
        "Elastic Agent",
        &[
            "opt/Elastic/Agent/enroll.yml",
            "etc/elastic-agent/enroll.yml",
        ],
        Content,
        "the token that enrols machines in Fleet",
        "elastic/elastic-agent: internal/pkg/agent/application/paths/files.go",
    ),
    Known::secret(
        "Elastic Agent and Beats",
        &[
            "opt/Elastic/Agent/elastic-agent.yml",
            "etc/elastic-agent/elastic-agent.yml",
            "etc/filebeat/**",
            "etc/metricbeat/**",
            "etc/auditbeat/**",
            "etc/heartbeat/**",
            "etc/packetbeat/**",
        ],
        Keys(&[
            "password",
            "api_key",
            "cloud.auth",
            "enrollment_token",
            "service_token",
        ]),
        "a password of the cluster that data is sent to",
        "elastic/beats: libbeat/docs/outputs-list.asciidoc",
    ),
    Known::identity(
        "Beats",
        &["var/lib/*beat/meta.json"],
        Content,
        "the id by which Elasticsearch knows one machine",
        "elastic/beats: libbeat/cmd/instance/beat.go",
    )
    .remade(),
    Known::secret(
        "Beats",
        &["var/lib/*beat/*.keystore"],
        Content,
        "a keystore of passwords whose key is in its program",
        "elastic/beats: libbeat/keystore/file_keystore.go",
    ),
    Known::secret(
        "CloudWatch agent",
        &["opt/aws/amazon-cloudwatch-agent/etc/common-config.toml"],
        Keys(&["secret_key", "aws_secret_access_key"]),
        "credentials of the cloud account",
        "aws/amazon-cloudwatch-agent: README.md",
    ),
    Known::identity(
        "Netdata",
        &[
            "var/lib/netdata/registry/netdata.public.unique.id",
            "var/lib/netdata/cloud.d/claimed_id",
            "var/lib/netdata/cloud.d/private.pem",
        ],
        Content,
        "the id by which Netdata knows one machine",
        "netdata/netdata: src/claim/README.md",
    )
    .remade(),
    Known::secret(
        "Netdata",
        &["etc/netdata/claim.conf", "var/lib/netdata/cloud.d/token"],
        Keys(&["token"]),
        "the token that claims machines",
        "netdata/netdata: src/claim/README.md",
    ),
    Known::secret(
        "Telegraf, Fluent Bit, Fluentd and Vector",
        &[
            "etc/telegraf/**",
            "etc/fluent-bit/**",
            "etc/td-agent/**",
            "etc/fluent/**",
            "etc/vector/**",
            "etc/otelcol*/**",
            "etc/collectd*/**",
        ],
        Keys(&[
            "token",
            "password",
            "http_passwd",
            "splunk_token",
            "api_key",
            "apikey",
            "auth.password",
            "aws_sec_key",
            "Password",
        ]),
        "a token of a server that metrics or logs are sent to",
        "influxdata/telegraf: docs/CONFIGURATION.md",
    ),
    Known::secret(
        "SolarWinds, Dynatrace, Sysdig, LogDNA and Sumo Logic agents",
        &[
            "var/lib/dynatrace/oneagent/agent/config/ruxitagentproc.conf",
            "var/lib/dynatrace/oneagent/agent/config/deployment.conf",
            "opt/draios/etc/dragent.yaml",
            "etc/logdna.env",
            "etc/logdna.conf",
            "opt/SumoCollector/config/user.properties",
        ],
        Keys(&[
            "tenantToken",
            "TenantToken",
            "customerid",
            "LOGDNA_INGESTION_KEY",
            "key",
            "accesskey",
            "token",
        ]),
        "a token of the account that data is sent to",
        "the vendors' configuration references",
    ),
];
