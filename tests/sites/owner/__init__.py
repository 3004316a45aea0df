"""What an owner wrote into a project made of commit 7d40ac0, by its names: tests/template/test_updates.py."""
