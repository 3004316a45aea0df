"""Says one line after another, and a line for each signal."""

from serving_tools.deploy.replace import Interruption, say

interruption = Interruption()
while True:
    interruption.number = 0  # so that each signal has its line
    say("(1 of 2)")
