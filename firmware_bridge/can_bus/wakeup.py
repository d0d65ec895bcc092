"""One descriptor that is readable when a socket is, or when messages wait already in memory.

Event loops watch a descriptor; a message that was read from the socket along with another one would
otherwise stay unseen until the next arrives.
"""

from __future__ import annotations

import os
import select


class Wakeup:
    """Made on the first call of ``fileno``; costs nothing before."""

    def __init__(self) -> None:
        self._poll: select.epoll | None = None
        self._flag = -1
        self._shown = False

    def fileno(self, socket_fd: int, waiting: bool) -> int:
        """The descriptor, for a socket and for whether messages wait now."""
        if self._poll is None:
            self._poll = select.epoll()
            self._flag = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._poll.register(socket_fd, select.EPOLLIN)
            self._poll.register(self._flag, select.EPOLLIN)
            self.show(waiting)
        return self._poll.fileno()

    def show(self, waiting: bool) -> None:
        """Say whether messages wait in memory."""
        if self._poll is None or waiting == self._shown:
            return
        self._shown = waiting
        if waiting:
            os.eventfd_write(self._flag, 1)
        else:
            os.eventfd_read(self._flag)

    def close(self) -> None:
        """Give the descriptors back; closing twice does nothing."""
        poll, self._poll = self._poll, None
        if poll is not None:
            poll.close()
            os.close(self._flag)
