"""What tests of every room share: generating, servers, services, containers."""
