# Packer fetches these with `packer init`. In a file of its own for those who run a Packer older than 1.7,
# which has its plugins built in and does not know this block: leave the file out.

packer {
  required_version = ">= 1.9.0"

  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.8, < 2.0.0"
    }
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = ">= 1.0.9, < 2.0.0"
    }
  }
}
