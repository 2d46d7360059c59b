"""A window that shows pictures, through pygame; it is honest about a machine that has no display."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

from ..errors import UsageError
from ..rollout.display import advice_without_display, sdl_driver

SMALL = 480  # pixels; a picture that fits in this more than once is enlarged


class Window:
    """A window that shows pictures, each for its time. Made when the first picture comes, for its size.

    Attributes:
        quit: keys that close it.
        held: keys that are down, the newest last.
    """

    def __init__(self) -> None:
        import pygame

        self.quit = frozenset({pygame.K_q, pygame.K_ESCAPE})
        self.held: list[int] = []
        self._pressed: list[int] = []
        self._due = 0.0  # when the picture that is shown may go

    def take(self) -> list[int]:
        """The keys that went down since it was asked last, in their order."""
        pressed, self._pressed = self._pressed, []
        return pressed

    def show(self, frame: np.ndarray, title: str, seconds: float) -> bool:
        """Show (H, W, 3) uint8 for ``seconds``; returns whether the user wants to see more."""
        import pygame

        size = frame.shape[1], frame.shape[0]
        screen = pygame.display.get_surface() or pygame.display.set_mode(_window_size(*size), pygame.RESIZABLE)
        pygame.display.set_caption(title)
        picture = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
        factor = min(screen.get_width() / size[0], screen.get_height() / size[1])
        if factor != 1:
            scale = pygame.transform.scale if factor.is_integer() else pygame.transform.smoothscale
            picture = scale(picture, (max(1, round(size[0] * factor)), max(1, round(size[1] * factor))))
        screen.fill((0, 0, 0))
        screen.blit(picture, picture.get_rect(center=screen.get_rect().center))
        pygame.display.flip()
        # Counted from when the last one was due, so that drawing takes nothing from the pace.
        self._due = max((self._due or time.monotonic()) + seconds, time.monotonic())
        while True:
            for event in pygame.event.get():
                if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key in self.quit):
                    return False
                if event.type == pygame.KEYDOWN:
                    self._pressed.append(event.key)
                    self.held.append(event.key)
                elif event.type == pygame.KEYUP:
                    self.held = [key for key in self.held if key != event.key]
                elif event.type == pygame.WINDOWFOCUSLOST:  # who lets go of a key now is not heard
                    self.held = []
            left = self._due - time.monotonic()
            if left <= 0:
                return True
            time.sleep(min(left, 0.02))


def _window_size(width: int, height: int) -> tuple[int, int]:
    """Twice, three times, ... the picture where that is small, and no larger than the screen."""
    import pygame

    screen = pygame.display.get_desktop_sizes()[0]
    factor = min(max(1, SMALL // max(width, height)), 0.9 * screen[0] / width, 0.9 * screen[1] / height)
    return round(width * factor), round(height * factor)


@contextmanager
def open_window() -> Iterator[Window]:
    """A window, or UsageError where there is nothing to show it on."""
    linux, wayland = sys.platform.startswith("linux"), os.environ.get("WAYLAND_DISPLAY")
    if linux and not wayland and not os.environ.get("DISPLAY"):
        raise _no_display("neither DISPLAY nor WAYLAND_DISPLAY is set")
    import pygame

    with sdl_driver("x11") if linux and not wayland else nullcontext():
        try:
            pygame.display.quit()  # it may have been started without a screen
            pygame.display.init()
            if (driver := pygame.display.get_driver()) in ("dummy", "offscreen"):
                raise _no_display(f"SDL would draw on its {driver!r} driver, which shows nothing")
            yield Window()
        except pygame.error as e:
            raise _no_display(str(e)) from e
        finally:
            pygame.quit()


def _no_display(why: str) -> UsageError:
    return UsageError(f"no display to open a window on: {why}.{advice_without_display()}")
