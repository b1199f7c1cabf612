"""A limit of what is under way in an event loop, by turns."""

import asyncio
import heapq
import itertools


class Places:
    """So many may be in at a time; of those who wait, the lowest turn comes in first.

    Lives in one event loop.
    """

    def __init__(self, count: int) -> None:
        self.free = count
        self.waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self.tickets = itertools.count()

    async def enter(self, turn: int) -> None:
        """Waits for a place; `leave` gives it back."""
        if self.free > 0:
            self.free -= 1
            return
        ticket = asyncio.get_running_loop().create_future()
        heapq.heappush(self.waiting, (turn, next(self.tickets), ticket))
        try:
            await ticket
        except BaseException:
            if ticket.done() and not ticket.cancelled():  # it got the place, and does not want it
                self.leave()
            raise

    def leave(self) -> None:
        """Gives a place to whoever waits with the lowest turn."""
        while self.waiting:
            *_, ticket = heapq.heappop(self.waiting)
            if not ticket.done():
                ticket.set_result(None)
                return
        self.free += 1
