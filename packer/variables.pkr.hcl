# What a bake needs to know. Set these in a file (`packer build -var-file=web.pkrvars.hcl packer/`) or with -var.

# Which image.

variable "image_name" {
  type        = string
  description = "The image's name, as [image] name in its declaration has it."

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{0,63}$", var.image_name))
    error_message = "The image's name has up to 64 of a-z, 0-9, dot, underscore and dash, and begins with a letter or a digit."
  }
}

variable "image_version" {
  type        = string
  description = "The image's version, such as 2026.11.23. Each bake has another."

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$", var.image_version))
    error_message = "The image's version has up to 64 letters, digits, and . _ + ~ -, and begins with a letter or a digit."
  }
}

variable "revision" {
  type        = string
  description = "The source revision that the image is built from; it is signed with it."
  default     = ""
}

variable "builder" {
  type        = string
  description = "Who builds it, such as the URL of the CI job; it is signed with it."
  default     = ""
}

# What of Earmark.

variable "spec" {
  type        = string
  description = "The image's declaration, earmark.toml."
}

variable "trust" {
  type        = string
  description = "The trust file: the keys that the image will believe (earmark trust)."
}

variable "signing_keys" {
  type        = list(string)
  description = "References to the keys that sign, as 'earmark sign --key' takes them: a path, env:NAME, awskms:ID. They are used on this machine, and never reach the guest."

  validation {
    condition     = length(var.signing_keys) > 0
    error_message = "Name at least one key to sign with."
  }
}

variable "agent_package" {
  type        = string
  description = "The package earmark-agent, .deb or .rpm, for the guest."
}

variable "earmark" {
  type        = string
  description = "The program earmark for the guest, which measures and installs there."
}

variable "earmark_here" {
  type        = string
  description = "The program earmark for this machine, which signs, and verifies the finished disk."
  default     = "earmark"
}

variable "initrd" {
  type        = bool
  description = "Boot by earmark-init, which judges the root before anything of it runs (tier T1). The declaration says so, too: [boot] initrd = \"earmark-init\". The agent's package must be a .deb."
  default     = false
}

variable "initrd_modules" {
  type        = list(string)
  description = "Files of kernel modules for the initrd, in the order in which they are loaded. Kernels of clouds need none: they have NVMe and ext4 built in."
  default     = []
}

# How.

variable "work" {
  type        = string
  description = "The directory of this machine for what is measured and signed, and for Packer's manifest."
  default     = "build"
}

variable "provision" {
  type        = list(string)
  description = "Scripts that make the image what it is. They run first, as root, with EARMARK_ROOT naming its root directory. Without any, scripts/provision.sh of this directory."
  default     = []
}

variable "verity" {
  type        = bool
  description = "Have the kernel enforce the sealed files (fs-verity): for roots on ext4 or btrfs, whose declaration has [boot] verity = true. The guest needs e2fsprogs."
  default     = false
}

variable "become" {
  type        = string
  description = "What runs a command as root in the guest; empty, if Packer logs in as root."
  default     = "sudo -n"
}

variable "ssh_username" {
  type        = string
  description = "The account that Packer logs in to: ec2-user (Amazon Linux), ubuntu, admin (Debian)."
  default     = "ec2-user"
}

# On EC2.

variable "region" {
  type        = string
  description = "The region to build in."
  default     = "us-east-1"
}

variable "copy_to_regions" {
  type        = list(string)
  description = "Regions that the AMI is copied to."
  default     = []
}

variable "share_with" {
  type        = list(string)
  description = "Accounts that may start the AMI."
  default     = []
}

variable "instance_type" {
  type        = string
  description = "The type of the instance that builds; it decides the architecture."
  default     = "t3.medium"
}

variable "source_ami_name" {
  type        = string
  description = "The name of the AMI to start from, with * for what changes; the newest is taken."
  default     = "al2023-ami-2023.*-kernel-*-x86_64"
}

variable "source_ami_owner" {
  type        = string
  description = "Who made it: amazon, 099720109477 (Canonical), 136693071363 (Debian)."
  default     = "amazon"
}

variable "subnet_id" {
  type        = string
  description = "The subnet to build in; the default VPC's, if empty."
  default     = ""
}

variable "surrogate" {
  type        = string
  description = "For amazon-ebssurrogate: the script that puts a file system on EARMARK_DEVICE, mounts it, fills it, and writes the directory's name into EARMARK_DIR/root. If empty, scripts/surrogate.sh of this directory."
  default     = ""
}

variable "surrogate_architecture" {
  type        = string
  description = "For amazon-ebssurrogate: the architecture that the AMI is registered for."
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.surrogate_architecture)
    error_message = "EC2 calls the architectures x86_64 and arm64."
  }
}

# With QEMU.

variable "qemu_disk" {
  type        = string
  description = "The disk to start from, a path or a URL."
  default     = ""
}

variable "qemu_disk_checksum" {
  type        = string
  description = "Its digest: sha256:..., or file: and the URL of a list of them. 'none' is for a disk that you made just now."
  default     = ""
}

variable "qemu_format" {
  type        = string
  description = "The format of the disk, before and after: qcow2 or raw."
  default     = "qcow2"

  validation {
    condition     = contains(["qcow2", "raw"], var.qemu_format)
    error_message = "The format is qcow2 or raw."
  }
}

variable "qemu_accelerator" {
  type        = string
  description = "kvm, hvf, or tcg where there is neither."
  default     = "kvm"
}

variable "qemu_args" {
  type        = list(list(string))
  description = "More for QEMU, such as [[\"-bios\", \"/usr/share/ovmf/OVMF.fd\"]]."
  default     = []
}

variable "qemu_ssh_key" {
  type        = string
  description = "The private key that the disk lets in."
  default     = ""
}

variable "qemu_ssh_timeout" {
  type        = string
  description = "How long the guest may take to start."
  default     = "5m"
}
