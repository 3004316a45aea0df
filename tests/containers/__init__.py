"""The image, the Compose project and `make deploy`, on a container engine."""
