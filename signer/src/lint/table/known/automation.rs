//! Configuration management, CI runners, and the tools of the build itself.

use super::{
    Holds::{Content, Keys},
    Known,
};

pub(super) static ROWS: &[Known] = &[
    Known::identity(
        "SSM agent",
        &[
            "var/lib/amazon/ssm/registration",
            "var/lib/amazon/ssm/Vault/Store/*",
            "var/snap/amazon-ssm-agent/common/Vault/Store/*",
        ],
        Content,
        "the registration of one machine",
        "aws/amazon-ssm-agent: agent/appconfig/constants_unix.go",
    )
    .fix("stop the agent, and remove the directory Vault and the file registration")
    .remade(),
    Known::identity(
        "Puppet",
        &[
            "etc/puppetlabs/puppet/ssl/private_keys/*",
            "etc/puppetlabs/puppet/ssl/certs/*",
            "etc/puppet/ssl/private_keys/*",
            "etc/puppet/ssl/certs/*",
            "var/lib/puppet/ssl/private_keys/*",
            "var/lib/puppet/ssl/certs/*",
        ],
        Content,
        "the certificate or key by which Puppet knows one machine",
        "puppetlabs/puppet: lib/puppet/defaults.rb",
    )
    .fix("run 'puppet ssl clean', and enrol at first boot"),
    Known::identity(
        "Chef",
        &["etc/chef/client.pem", "etc/cinc/client.pem"],
        Content,
        "the key by which Chef knows one machine",
        "chef/chef-web-docs: content/config_rb_client.md",
    ),
    Known::secret(
        "Chef",
        &[
            "etc/chef/*validat*.pem",
            "etc/cinc/*validat*.pem",
            "etc/chef/*data_bag_secret*",
            "etc/cinc/*data_bag_secret*",
        ],
        Content,
        "a key that enrols machines or opens data bags",
        "chef/chef-web-docs: content/config_rb_client.md",
    ),
    Known::identity(
        "Salt minion",
        &[
            "etc/salt/pki/minion/minion.pem",
            "etc/salt/pki/minion/minion.pub",
            "etc/salt/pki/minion/minion_master.pub",
            "etc/salt/minion_id",
        ],
        Content,
        "the key or id by which Salt knows one machine",
        "saltstack/salt: doc/ref/configuration/minion.rst",
    )
    .remade(),
    Known::identity(
        "CFEngine",
        &[
            "var/cfengine/ppkeys/localhost.p*",
            "var/lib/cfengine3/ppkeys/localhost.p*",
        ],
        Content,
        "the key by which CFEngine knows one machine",
        "cfengine/documentation: reference/components/cf-key.markdown",
    )
    .fix("run 'cf-key' at first boot"),
    Known::identity(
        "Landscape",
        &[
            "var/lib/landscape/client/*.bpickle",
            "var/lib/landscape/client/broker.bpickle*",
        ],
        Content,
        "the registration of one machine in Landscape",
        "canonical/landscape-client: man/landscape-client.txt",
    ),
    Known::secret(
        "Landscape",
        &["etc/landscape/client.conf"],
        Keys(&["registration_key"]),
        "the key that enrols machines",
        "canonical/landscape-client: man/landscape-client.txt",
    ),
    Known::identity(
        "GLPI, FusionInventory and OCS agents",
        &[
            "var/lib/glpi-agent/*.dump",
            "var/lib/fusioninventory-agent/*.dump",
            "etc/ocsinventory/ocsinv.conf",
            "var/lib/ocsinventory-agent/*/ocsinv.conf",
        ],
        Content,
        "the device id by which an inventory knows one machine",
        "glpi-project/glpi-agent: lib/GLPI/Agent/Storage.pm",
    )
    .remade(),
    Known::secret(
        "GitLab Runner",
        &[
            "etc/gitlab-runner/config.toml",
            "~/.gitlab-runner/config.toml",
            "srv/gitlab-runner/config/config.toml",
        ],
        Keys(&[
            "token",
            "registration-token",
            "AccessKey",
            "SecretKey",
            "password",
        ]),
        "the token of a runner",
        "gitlab-org/gitlab-runner: docs/configuration/advanced-configuration.md",
    )
    .fix("run 'gitlab-runner unregister --all-runners', and register at first boot"),
    Known::identity(
        "GitLab Runner",
        &[
            "etc/gitlab-runner/.runner_system_id",
            "~/.gitlab-runner/.runner_system_id",
        ],
        Content,
        "the id by which GitLab knows one machine",
        "gitlab-org/gitlab-runner: docs/fleet_scaling/_index.md",
    )
    .remade(),
    Known::secret(
        "GitHub Actions runner",
        &[
            "~/actions-runner/.credentials*",
            "~/actions-runner/.runner",
            "~/.credentials_rsaparams",
            "opt/actions-runner/.credentials*",
            "opt/actions-runner/.runner",
            "opt/runner/.credentials*",
            "actions-runner/.credentials*",
            "actions-runner/.runner",
            "srv/actions-runner/.credentials*",
        ],
        Content,
        "the registration of a runner",
        "actions/runner: src/Runner.Common/HostContext.cs",
    )
    .fix("run 'config.sh remove', and register at first boot"),
    Known::secret(
        "Azure Pipelines agent",
        &[
            "~/azagent/.credentials*",
            "opt/azagent/.credentials*",
            "azagent/.credentials*",
            "~/myagent/.credentials*",
            "opt/vsts-agent/.credentials*",
        ],
        Content,
        "the registration of an agent",
        "microsoft/azure-pipelines-agent: src/Microsoft.VisualStudio.Services.Agent/HostContext.cs",
    ),
    Known::secret(
        "Buildkite agent",
        &[
            "etc/buildkite-agent/buildkite-agent.cfg",
            "~/.buildkite-agent/buildkite-agent.cfg",
        ],
        Keys(&["token"]),
        "the token of an agent",
        "buildkite/docs: pages/agent/self_hosted/configure.md",
    ),
    Known::secret(
        "CircleCI, Drone, Woodpecker and TeamCity agents",
        &[
            "etc/circleci-runner/*.yaml",
            "etc/opt/circleci/*.yaml",
            "opt/circleci/*.yaml",
            "etc/drone-runner*/config",
            "etc/woodpecker/*",
            "opt/buildagent/conf/buildAgent.properties",
        ],
        Keys(&[
            "auth_token",
            "DRONE_RPC_SECRET",
            "WOODPECKER_AGENT_SECRET",
            "authorizationToken",
            "token",
        ]),
        "the token of an agent",
        "circleci/circleci-docs: docs/guides/modules/execution-runner/pages/machine-runner-3-configuration-reference.adoc",
    ),
    Known::secret(
        "Jenkins",
        &[
            "var/lib/jenkins/secrets/**",
            "var/lib/jenkins/secret.key",
            "var/lib/jenkins/identity.key.enc",
            "var/lib/jenkins/credentials.xml",
        ],
        Content,
        "a key or the credentials of a Jenkins",
        "jenkins-infra/jenkins.io: content/doc/developer/security/secrets.adoc",
    ),
    Known::secret(
        "Ansible",
        &[
            "etc/ansible/*vault*pass*",
            "etc/ansible/.vault*",
            "~/.vault_pass*",
            "~/.vault-pass*",
            "~/.vault_password*",
            "~/.ansible/vault*pass*",
            "~/.ansible_vault*",
        ],
        Content,
        "a password of the builder's vault",
        "ansible/ansible-documentation: docs/docsite/rst/vault_guide/vault_managing_passwords.rst",
    ),
    Known::secret(
        "Packer and Terraform",
        &[
            "~/*.auto.pkrvars.hcl",
            "~/*.pkrvars.hcl",
            "~/terraform.tfstate*",
            "~/*.tfvars",
            "root/*/terraform.tfstate",
            "opt/*/terraform.tfstate",
        ],
        Content,
        "variables or a state of the builder's, which have secrets in the clear",
        "hashicorp/terraform: website/docs/language/state/sensitive-data.mdx",
    ),
    Known::secret(
        "SOPS and age",
        &[
            "~/.config/sops/age/keys.txt",
            "etc/sops/age/keys.txt",
            "var/lib/sops-nix/key.txt",
            "~/.age/*.key",
        ],
        Content,
        "a key that opens encrypted files",
        "getsops/sops: README.rst",
    ),
    Known::secret(
        "GnuPG",
        &["~/.gnupg/private-keys-v1.d/*", "~/.gnupg/secring.gpg"],
        Content,
        "a private key",
        "gpg(1), FILES",
    ),
];
