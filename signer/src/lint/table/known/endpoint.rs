//! Agents of endpoint security and of inventories.

use super::{
    Holds::{Content, Keys},
    Known,
};

pub(super) static ROWS: &[Known] = &[
    Known::secret(
        "osquery",
        &[
            "etc/osquery/*secret*",
            "etc/osquery/enroll*",
            "var/osquery/*secret*",
        ],
        Content,
        "the secret that enrols machines",
        "osquery/osquery: docs/wiki/deployment/remote.md",
    ),
    Known::identity(
        "osquery",
        &[
            "var/osquery/osquery.db/CURRENT",
            "opt/orbit/identifier",
            "opt/orbit/secret-orbit-node-key.txt",
            "opt/orbit/osquery.db/CURRENT",
        ],
        Content,
        "the node key or UUID by which a server knows one machine",
        "osquery/osquery: docs/wiki/deployment/remote.md",
    )
    .remade(),
    Known::identity(
        "Wazuh and OSSEC agents",
        &["var/ossec/etc/client.keys"],
        Content,
        "the key by which the manager knows one machine",
        "wazuh/wazuh-documentation: source/user-manual/agent/agent-enrollment/index.rst",
    )
    .fix("empty it, and enrol at first boot")
    .remade(),
    Known::secret(
        "Wazuh and OSSEC agents",
        &["var/ossec/etc/authd.pass"],
        Content,
        "the password that enrols machines",
        "wazuh/wazuh-documentation: source/user-manual/agent/agent-enrollment/index.rst",
    ),
    Known::identity(
        "CrowdStrike Falcon",
        &[
            "opt/CrowdStrike/falconstore",
            "opt/CrowdStrike/falconstore.bak",
        ],
        Content,
        "the agent id by which Falcon knows one machine",
        "CrowdStrike/ansible_collection_falcon: roles/falcon_configure/README.md",
    )
    .fix("run 'falconctl -d -f --aid' as the last step")
    .remade(),
    Known::identity(
        "SentinelOne",
        &["opt/sentinelone/configuration/*.conf"],
        Keys(&["mgmt_uuid"]),
        "the UUID by which SentinelOne knows one machine",
        "broadinstitute/puppet-sentinelone_agent: manifests/config.pp",
    )
    .fix("install without starting the agent, and set its token at first boot")
    .remade(),
    Known::secret(
        "SentinelOne",
        &[
            "opt/sentinelone/configuration/*.conf",
            "opt/sentinelone/configuration/install_config",
        ],
        Keys(&["mgmt_site-key", "S1_AGENT_MANAGEMENT_TOKEN"]),
        "the token that enrols machines",
        "broadinstitute/puppet-sentinelone_agent: manifests/config.pp",
    ),
    Known::identity(
        "Qualys Cloud Agent",
        &["etc/qualys/hostid", "etc/qualys/cloud-agent/setup/uuid"],
        Content,
        "the host id by which Qualys knows one machine",
        "the vendor's installation guide, 'Agent Host ID'",
    )
    .remade(),
    Known::secret(
        "Qualys Cloud Agent",
        &["etc/qualys/cloud-agent/qualys-cloud-agent.conf"],
        Keys(&["ActivationId"]),
        "the activation id that enrols machines",
        "the vendor's installation guide, 'qualys-cloud-agent.sh'",
    )
    .warns(),
    Known::identity(
        "Tenable Nessus agent",
        &[
            "etc/tenable_tag",
            "opt/nessus_agent/var/nessus/uuid",
            "opt/nessus_agent/var/nessus/master.key",
        ],
        Content,
        "the UUID by which Tenable knows one machine",
        "docs.tenable.com: 'nessuscli prepare-image'",
    )
    .fix("run 'nessuscli prepare-image'")
    .remade(),
];
