"""What keeps a card busy: memory from which it fetches without anybody waiting, and graphs that it runs at one call.

Part of the kit of those who write agents; on a CPU nothing here does anything else than it would without.
"""
