/* Vectors, memory set-up, and the functions that a compiler calls without being asked. */
#include <stddef.h>
#include <stdint.h>

#include "board.h"

#define FIRST_IRQ 16u
#define VECTORS (FIRST_IRQ + 20u)

typedef void (*handler)(void);

extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[], stack_top[];
int main(void);
void reset(void);
void *memset(void *to, int value, size_t length);
void *memcpy(void *to, const void *from, size_t length);

/* Standing still lets the motors' watchdogs trip: they hold by themselves. */
static void fault(void)
{
    for (;;)
        __asm__ volatile("wfi");
}

void reset(void)
{
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end; to++)
        *to = *from++;
    for (uint32_t *to = bss_start; to < bss_end; to++)
        *to = 0;
    (void)main();
    fault();
}

__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *memset(void *to, int value,
                                                                           size_t length)
{
    uint8_t *byte = to;
    while (length-- > 0)
        *byte++ = (uint8_t)value;
    return to;
}

__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *memcpy(void *to,
                                                                           const void *from,
                                                                           size_t length)
{
    uint8_t *byte = to;
    const uint8_t *source = from;
    while (length-- > 0)
        *byte++ = *source++;
    return to;
}

__attribute__((section(".vectors"), used)) static const handler vectors[VECTORS] = {
    [0] = (handler)(uintptr_t)stack_top,
    [1] = reset,
    [2] = fault,
    [3] = fault,
    [4] = fault,
    [5] = fault,
    [6] = fault,
    [FIRST_IRQ + 5] = board_host_uart_interrupt,
    [FIRST_IRQ + 6] = board_motor_uart_interrupt,
    [FIRST_IRQ + 19] = board_timer_interrupt,
};
