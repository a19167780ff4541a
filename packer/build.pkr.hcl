# Provision, install the agent, clean, measure | sign here, without the guest | install, verify.
#
# What changes a sealed file after it was measured makes the build fail at scripts/verify.sh, which names it; and
# what changes it after that, at scripts/verify-disk.sh, which looks at the finished disk.

locals {
  scripts   = "${path.root}/scripts"
  provision = length(var.provision) > 0 ? var.provision : ["${path.root}/scripts/provision.sh"]
  surrogate = var.surrogate != "" ? var.surrogate : "${path.root}/scripts/surrogate.sh"

  # In the guest, what lies here is no part of the image: /tmp is 'state'.
  guest = "/tmp/earmark"

  guest_environment = [
    "EARMARK_DIR=${local.guest}",
    "EARMARK_DEVICE=/dev/xvdf",
    "EARMARK_VERSION=${var.image_version}",
    "EARMARK_REVISION=${var.revision}",
    "EARMARK_BUILDER=${var.builder}",
    "EARMARK_VERITY=${var.verity}",
  ]
  here_environment = [
    "EARMARK=${var.earmark_here}",
    "EARMARK_WORK=${var.work}",
    "EARMARK_NAME=${var.image_name}",
    "EARMARK_VERSION=${var.image_version}",
    "EARMARK_SPEC=${var.spec}",
    "EARMARK_TRUST=${var.trust}",
    "EARMARK_KEYS=${join(" ", var.signing_keys)}",
    "EARMARK_AGENT=${var.agent_package}",
    "EARMARK_INITRD=${var.initrd}",
    "EARMARK_MODULES=${join(" ", var.initrd_modules)}",
    "EARMARK_DISK=${var.work}/disk/${var.image_name}-${var.image_version}.${var.qemu_format}",
  ]
  # The first step writes down where the image's root is.
  as_root = "${var.become} env EARMARK_ROOT=\"$(cat ${local.guest}/root)\" {{ .Vars }} sh -eu '{{ .Path }}'"
}

build {
  name = "earmark"
  sources = [
    "source.amazon-ebs.image",
    "source.amazon-ebssurrogate.image",
    "source.qemu.image",
  ]

  provisioner "shell" {
    inline = [
      "install -d -m 0700 ${local.guest} ${local.guest}/out",
      "echo / > ${local.guest}/root",
    ]
  }

  provisioner "shell" {
    only             = ["amazon-ebssurrogate.image"]
    script           = local.surrogate
    environment_vars = local.guest_environment
    execute_command  = local.as_root
  }

  # The image itself. Put your own steps into scripts/provision.sh, or name your own scripts.

  provisioner "shell" {
    scripts          = local.provision
    environment_vars = local.guest_environment
    execute_command  = local.as_root
  }

  # The initrd that will judge it, if it is to have one: made on this machine, and placed before anything is measured.

  provisioner "shell-local" {
    script           = "${local.scripts}/build-initrd.sh"
    environment_vars = local.here_environment
  }

  provisioner "file" {
    source      = "${var.work}/initrd.img"
    destination = "${local.guest}/initrd.img"
    # It is not there yet when the template is read.
    generated = true
  }

  # Measure it. What comes after this must not change it any more.

  provisioner "file" {
    source      = var.earmark
    destination = "${local.guest}/earmark"
  }

  provisioner "file" {
    source      = var.agent_package
    destination = "${local.guest}/agent-package"
  }

  provisioner "file" {
    source      = var.spec
    destination = "${local.guest}/earmark.toml"
  }

  provisioner "file" {
    source      = var.trust
    destination = "${local.guest}/trust.toml"
  }

  provisioner "shell" {
    scripts = [
      "${local.scripts}/install-agent.sh",
      "${local.scripts}/place-initrd.sh",
      "${local.scripts}/clean.sh",
      "${local.scripts}/lint.sh",
      "${local.scripts}/measure.sh",
    ]
    environment_vars = local.guest_environment
    execute_command  = local.as_root
  }

  # Sign it, on this machine.

  provisioner "shell-local" {
    inline = ["mkdir -p '${var.work}/out'"]
  }

  provisioner "file" {
    direction   = "download"
    source      = "${local.guest}/out/statement.json"
    destination = "${var.work}/out/statement.json"
  }

  provisioner "file" {
    direction   = "download"
    source      = "${local.guest}/out/earmark.toml"
    destination = "${var.work}/out/earmark.toml"
  }

  provisioner "file" {
    direction   = "download"
    source      = "${local.guest}/out/tree.zst"
    destination = "${var.work}/out/tree.zst"
  }

  provisioner "shell-local" {
    script           = "${local.scripts}/sign.sh"
    environment_vars = local.here_environment
  }

  # Place the signature, and look at what came of it.

  provisioner "file" {
    source      = "${var.work}/out/manifest.json"
    destination = "${local.guest}/out/manifest.json"
    # It is not there yet when the template is read.
    generated = true
  }

  provisioner "shell" {
    scripts = [
      "${local.scripts}/install.sh",
      "${local.scripts}/verify.sh",
    ]
    environment_vars = local.guest_environment
    execute_command  = local.as_root
  }

  # The disk is finished. Nothing is recorded that does not verify.

  post-processors {
    post-processor "shell-local" {
      script           = "${local.scripts}/verify-disk.sh"
      environment_vars = local.here_environment
    }

    post-processor "manifest" {
      output      = "${var.work}/packer-manifest.json"
      custom_data = { image = var.image_name, version = var.image_version }
    }

    post-processor "shell-local" {
      script           = "${local.scripts}/record.sh"
      environment_vars = local.here_environment
    }
  }
}
