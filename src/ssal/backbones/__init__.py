"""CIFAR-size networks, registered with timm."""
