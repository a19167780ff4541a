//! Container runtimes, and joins to clusters.

use super::{
    Holds::{Content, Keys},
    Known,
};

/// Keys of kubeconfig files that are credentials themselves.
const KUBECONFIG: &[&str] = &[
    "token",
    "client-key-data",
    "password",
    "id-token",
    "refresh-token",
    "client-key",
];

pub(super) static ROWS: &[Known] = &[
    Known::identity(
        "Docker",
        &["var/lib/docker/engine-id", "etc/docker/key.json"],
        Content,
        "the id or key by which Docker knows one machine",
        "moby/moby: daemon/id.go",
    )
    .remade(),
    Known::identity(
        "Docker Swarm",
        &["var/lib/docker/swarm/docker-state.json", "var/lib/docker/swarm/state.json", "var/lib/docker/swarm/certificates/*"],
        Content,
        "the membership of one machine in a swarm",
        "moby/moby: daemon/cluster/cluster.go",
    )
    .fix("run 'docker swarm leave --force', and join at first boot"),
    Known::identity(
        "containerd",
        &["var/lib/containerd/io.containerd.grpc.v1.introspection/uuid"],
        Content,
        "the UUID by which containerd knows one machine",
        "containerd/containerd: plugins/services/introspection/local.go",
    )
    .remade(),
    Known::new(
        "registry-token",
        "containerd and CRI-O",
        &["etc/containerd/*.toml", "etc/containerd/conf.d/*.toml", "etc/crio/crio.conf.d/*", "etc/rancher/*/registries.yaml"],
        Keys(&["password", "auth", "identitytoken", "Authorization"]),
        "a token or password for a registry",
        "containerd/containerd: docs/cri/registry.md",
    ),
    Known::secret(
        "kubelet",
        &[
            "etc/kubernetes/*.conf",
            "etc/kubernetes/bootstrap-kubelet.conf",
            "var/lib/kubelet/bootstrap-kubeconfig",
            "var/lib/kubelet/kubeconfig",
            "etc/kubernetes/kubelet/*kubeconfig*",
        ],
        Keys(KUBECONFIG),
        "a token or key that joins machines to a cluster",
        "kubernetes/website: content/en/docs/reference/access-authn-authz/kubelet-tls-bootstrapping.md",
    )
    .fix("join at first boot, as kubeadm or the cloud does"),
    Known::identity(
        "kubelet",
        &["var/lib/kubelet/pki/*.pem", "var/lib/kubelet/pki/*.key", "var/lib/kubelet/pki/*.crt", "var/lib/kubelet/kubeadm-flags.env"],
        Content,
        "the certificate or settings of one machine in a cluster",
        "kubernetes/website: content/en/docs/reference/access-authn-authz/kubelet-tls-bootstrapping.md",
    )
    .fix("run 'kubeadm reset', and join at first boot"),
    Known::secret(
        "kubeadm",
        &["etc/kubernetes/kubeadm*.y*ml", "etc/kubeadm*.y*ml", "~/kubeadm*.y*ml", "etc/kubernetes/*join*"],
        Keys(&["token", "certificateKey", "tlsBootstrapToken"]),
        "a token that joins machines to a cluster",
        "kubernetes/website: content/en/docs/reference/setup-tools/kubeadm/kubeadm-join.md",
    ),
    Known::secret(
        "kubeadm",
        &["etc/kubernetes/pki/*.key", "etc/kubernetes/pki/etcd/*.key"],
        Content,
        "a key of the cluster's authority",
        "kubernetes/website: content/en/docs/reference/setup-tools/kubeadm/implementation-details.md",
    ),
    Known::identity(
        "k3s and RKE2",
        &["etc/rancher/node/password", "var/lib/rancher/k3s/agent/node-password*", "var/lib/rancher/rke2/agent/node-password*"],
        Content,
        "the password by which a cluster knows one machine",
        "k3s-io/docs: docs/architecture.md",
    )
    .remade(),
    Known::secret(
        "k3s and RKE2",
        &[
            "var/lib/rancher/*/server/token",
            "var/lib/rancher/*/server/node-token",
            "var/lib/rancher/*/server/agent-token",
            "var/lib/rancher/*/server/cred/*",
            "var/lib/rancher/*/server/db/state.db",
        ],
        Content,
        "a token or the database of a cluster",
        "k3s-io/docs: docs/cli/token.md",
    ),
    Known::secret(
        "k3s and RKE2",
        &["etc/rancher/k3s/config.yaml", "etc/rancher/rke2/config.yaml", "etc/rancher/*/config.yaml.d/*", "var/lib/rancher/*/agent/*.kubeconfig"],
        Keys(&["token", "agent-token", "datastore-endpoint", "client-key-data"]),
        "a token that joins machines to a cluster",
        "rancher/rke2-docs: docs/install/configuration.md",
    ),
    Known::secret(
        "MicroK8s and k0s",
        &["var/snap/microk8s/current/credentials/*", "etc/k0s/*token*", "var/lib/k0s/pki/*.key"],
        Content,
        "a token or key that joins machines to a cluster",
        "k0sproject/k0s: docs/k0s-multi-node.md",
    ),
    Known::identity(
        "etcd",
        &["var/lib/etcd/member/snap/db", "var/lib/etcd/*/member/snap/db", "var/lib/etcd/*.etcd/member/snap/db"],
        Content,
        "the data of one member of a cluster",
        "etcd-io/etcd: server/storage/datadir/datadir.go",
    ),
    Known::identity(
        "Consul",
        &["var/lib/consul/node-id", "opt/consul/node-id", "opt/consul/data/node-id", "var/consul/node-id", "etc/consul.d/data/node-id"],
        Content,
        "the id by which Consul knows one machine",
        "hashicorp/consul: website/content/docs/agent/config/config-files.mdx",
    )
    .remade(),
    Known::secret(
        "Consul",
        &[
            "var/lib/consul/serf/*.keyring",
            "opt/consul/serf/*.keyring",
            "opt/consul/data/serf/*.keyring",
            "var/consul/serf/*.keyring",
            "var/lib/consul/acl-tokens.json",
            "opt/consul/acl-tokens.json",
        ],
        Content,
        "a key or token of a cluster",
        "hashicorp/consul: website/content/docs/agent/config/config-files.mdx",
    ),
    Known::secret(
        "Consul",
        &["etc/consul.d/*", "etc/consul/*"],
        Keys(&["encrypt", "token", "agent", "default", "initial_management", "master", "agent_recovery", "agent_master", "replication"]),
        "a key or token of a cluster",
        "hashicorp/consul: website/content/docs/agent/config/config-files.mdx",
    ),
    Known::identity(
        "Nomad",
        &[
            "var/lib/nomad/client/client-id",
            "var/lib/nomad/client/secret-id",
            "opt/nomad/data/client/client-id",
            "opt/nomad/data/client/secret-id",
            "opt/nomad/client/client-id",
            "opt/nomad/client/secret-id",
            "var/nomad/client/client-id",
            "var/nomad/client/secret-id",
        ],
        Content,
        "the id or secret by which Nomad knows one machine",
        "hashicorp/nomad: client/client.go",
    )
    .remade(),
    Known::secret(
        "Nomad",
        &["var/lib/nomad/server/keystore/*", "opt/nomad/data/server/keystore/*", "opt/nomad/data/server/serf.keyring", "var/lib/nomad/server/serf.keyring"],
        Content,
        "a key of a cluster",
        "hashicorp/nomad: client/client.go",
    ),
    Known::secret(
        "Nomad",
        &["etc/nomad.d/*", "etc/nomad/*"],
        Keys(&["encrypt", "token", "replication_token"]),
        "a key or token of a cluster",
        "hashicorp/nomad: website/content/docs/configuration/consul.mdx",
    ),
    Known::secret(
        "Vault and OpenBao",
        &[
            "etc/vault*/*secret*id*",
            "etc/vault*/*role*id*",
            "etc/vault*/*token*",
            "etc/openbao/*secret*id*",
            "etc/openbao/*token*",
            "var/lib/vault/*token*",
            "opt/vault/*token*",
            "opt/vault/data/core/*",
        ],
        Content,
        "a token, or what a server keeps",
        "hashicorp/vault: website/content/docs/agent-and-proxy/autoauth/methods/approle.mdx",
    ),
    Known::secret(
        "Vault and OpenBao",
        &["etc/vault.d/*", "etc/vault/*.hcl", "etc/openbao/*.hcl"],
        Keys(&["token", "secret_key", "client_secret", "password"]),
        "a token or key of a server",
        "hashicorp/vault: website/content/docs/configuration/seal/transit.mdx",
    ),
    Known::identity(
        "ECS agent",
        &["var/lib/ecs/data/agent.db", "var/lib/ecs/data/ecs_agent_data.json"],
        Content,
        "the registration of one machine in a cluster",
        "aws/amazon-ecs-agent: README.md",
    )
    .fix("stop the agent, and remove /var/lib/ecs/data")
    .remade(),
    Known::secret(
        "ECS agent",
        &["etc/ecs/ecs.config"],
        Keys(&["ECS_ENGINE_AUTH_DATA"]),
        "a password of a registry",
        "aws/amazon-ecs-agent: README.md",
    ),
];
