"""What ``twistd`` runs: options in, a service out."""
