locals {
  # Which image it is, for people who look at a list of AMIs. What is to be believed is in the image.
  tags = {
    "Name"            = "${var.image_name} ${var.image_version}"
    "earmark:image"   = var.image_name
    "earmark:version" = var.image_version
  }
}

source "amazon-ebs" "image" {
  region        = var.region
  instance_type = var.instance_type
  subnet_id     = var.subnet_id
  ssh_username  = var.ssh_username

  source_ami_filter {
    filters = {
      name                = var.source_ami_name
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = [var.source_ami_owner]
    most_recent = true
  }

  # The instance that builds gets its credentials as a host does: by IMDSv2, and no container within it does.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  ami_name        = "${var.image_name}-${var.image_version}"
  ami_description = "${var.image_name} ${var.image_version}, sealed with Earmark"
  ami_regions     = var.copy_to_regions
  ami_users       = var.share_with
  # What is started from it takes no IMDSv1, unless somebody asks for it.
  imds_support = "v2.0"
  ena_support  = true

  tags            = local.tags
  snapshot_tags   = local.tags
  run_tags        = local.tags
  run_volume_tags = local.tags

  # scripts/clean.sh removes them before the image is measured; this is for a bake that somebody changed.
  ssh_clear_authorized_keys = true
}

# The same, for a root that is put together on a volume of its own and is never booted while it is built.
source "amazon-ebssurrogate" "image" {
  region        = var.region
  instance_type = var.instance_type
  subnet_id     = var.subnet_id
  ssh_username  = var.ssh_username

  source_ami_filter {
    filters = {
      name                = var.source_ami_name
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = [var.source_ami_owner]
    most_recent = true
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvdf"
    volume_type           = "gp3"
    volume_size           = 8
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
  }

  ami_root_device {
    source_device_name    = "/dev/xvdf"
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    volume_size           = 8
    delete_on_termination = true
  }

  ami_name                = "${var.image_name}-${var.image_version}"
  ami_description         = "${var.image_name} ${var.image_version}, sealed with Earmark"
  ami_architecture        = var.surrogate_architecture
  ami_virtualization_type = "hvm"
  ami_regions             = var.copy_to_regions
  ami_users               = var.share_with
  imds_support            = "v2.0"
  ena_support             = true

  tags            = local.tags
  snapshot_tags   = local.tags
  run_tags        = local.tags
  run_volume_tags = local.tags

  ssh_clear_authorized_keys = true
}

source "qemu" "image" {
  disk_image       = true
  iso_url          = var.qemu_disk
  iso_checksum     = var.qemu_disk_checksum
  format           = var.qemu_format
  skip_resize_disk = true
  output_directory = "${var.work}/disk"
  vm_name          = "${var.image_name}-${var.image_version}.${var.qemu_format}"

  accelerator = var.qemu_accelerator
  headless    = true
  cpus        = 1
  memory      = 1024
  qemuargs    = var.qemu_args

  ssh_username         = var.ssh_username
  ssh_private_key_file = var.qemu_ssh_key
  ssh_timeout          = var.qemu_ssh_timeout
  shutdown_command     = "${var.become} systemctl poweroff"
}
