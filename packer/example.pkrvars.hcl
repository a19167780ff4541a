# A bake of your own: copy this beside your declaration, and fill it in.

image_name = "web"

spec         = "earmark.toml"
trust        = "trust.toml"
signing_keys = ["env:RELEASE_KEY"]

# `cargo xtask package` makes both, or your package repository has them.
agent_package = "earmark-agent.deb"
earmark       = "/usr/bin/earmark"

provision = ["provision.sh"]

# Debian 12. For Amazon Linux 2023: al2023-ami-2023.*-kernel-*-x86_64 of amazon, and ec2-user; for Ubuntu 24.04:
# ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-* of 099720109477, and ubuntu.
region           = "eu-central-1"
source_ami_name  = "debian-12-amd64-*"
source_ami_owner = "136693071363"
ssh_username     = "admin"
