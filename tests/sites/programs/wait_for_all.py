import serving.stopping.listeners

serving.stopping.listeners.LIMIT = 3600
