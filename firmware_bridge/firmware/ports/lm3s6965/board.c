#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Cortex-M3: ARMv7-M Architecture Reference Manual, B3. */
#define SYSTICK_CONTROL REGISTER(0xE000E010u)
#define SYSTICK_RELOAD REGISTER(0xE000E014u)
#define SYSTICK_CURRENT REGISTER(0xE000E018u)
#define SYSTICK_ENABLE_CPU_CLOCK 0x5u /* no interrupt: it is only a counter */
#define COUNTER_MASK 0xFFFFFFu
#define INTERRUPT_ENABLE REGISTER(0xE000E100u)

/* LM3S6965 data sheet: system control, general-purpose timer, UART. */
#define CLOCK_GATE_PERIPHERALS REGISTER(0x400FE104u)
#define GATE_UART0_UART1_TIMER0 0x00010003u
#define TIMER0 0x40030000u
#define TIMER_MODE(base) REGISTER((base) + 0x04u)
#define TIMER_CONTROL(base) REGISTER((base) + 0x0Cu)
#define TIMER_INTERRUPT_MASK(base) REGISTER((base) + 0x18u)
#define TIMER_INTERRUPT_CLEAR(base) REGISTER((base) + 0x24u)
#define TIMER_LOAD(base) REGISTER((base) + 0x28u)
#define TIMER_PERIODIC 2u
#define TIMER_A 1u

#define UART_DATA(base) REGISTER(base)
#define UART_FLAGS(base) REGISTER((base) + 0x18u)
#define UART_BAUD_INTEGER(base) REGISTER((base) + 0x24u)
#define UART_BAUD_FRACTION(base) REGISTER((base) + 0x28u)
#define UART_LINE(base) REGISTER((base) + 0x2Cu)
#define UART_CONTROL(base) REGISTER((base) + 0x30u)
#define UART_INTERRUPT_MASK(base) REGISTER((base) + 0x38u)
#define UART_INTERRUPT_CLEAR(base) REGISTER((base) + 0x44u)
#define UART_RECEIVE_EMPTY 0x10u
#define UART_TRANSMIT_FULL 0x20u
#define UART_8N1_FIFO 0x70u
#define UART_ON 0x301u
#define UART_RECEIVED 0x50u /* bytes there, or there and the line fell silent */

#define HOST_IRQ 5u
#define MOTOR_IRQ 6u
#define TIMER_IRQ 19u

#define CLOCK_HZ 12500000u /* what the reset leaves */
#define WAKE_HZ 1000u
#define TICKS_PER_2_US 25u
#define BAUD_INTEGER 1u /* CLOCK_HZ / 16 baud: 781 kbaud, the fastest; QEMU ignores it */

static const uint32_t uart_base[BOARD_UARTS] = {0x4000C000u, 0x4000D000u};
static struct oat_fifo received[BOARD_UARTS];
static uint32_t last_counter;
static uint32_t spare_ticks;
static uint64_t elapsed_us;
static uint32_t boots __attribute__((section(".noinit")));

static void start_uart(enum board_uart uart)
{
    uint32_t base = uart_base[uart];
    UART_CONTROL(base) = 0;
    UART_BAUD_INTEGER(base) = BAUD_INTEGER;
    UART_BAUD_FRACTION(base) = 0;
    UART_LINE(base) = UART_8N1_FIFO;
    UART_INTERRUPT_MASK(base) = UART_RECEIVED;
    UART_CONTROL(base) = UART_ON;
}

void board_start(void)
{
    CLOCK_GATE_PERIPHERALS = GATE_UART0_UART1_TIMER0;
    SYSTICK_RELOAD = COUNTER_MASK;
    SYSTICK_CURRENT = 0;
    SYSTICK_CONTROL = SYSTICK_ENABLE_CPU_CLOCK;
    last_counter = SYSTICK_CURRENT;
    TIMER_MODE(TIMER0) = TIMER_PERIODIC;
    TIMER_LOAD(TIMER0) = CLOCK_HZ / WAKE_HZ - 1u;
    TIMER_INTERRUPT_MASK(TIMER0) = TIMER_A;
    TIMER_CONTROL(TIMER0) = TIMER_A;
    start_uart(BOARD_HOST_UART);
    start_uart(BOARD_MOTOR_UART);
    INTERRUPT_ENABLE = 1u << HOST_IRQ | 1u << MOTOR_IRQ | 1u << TIMER_IRQ;
    boots++;
}

uint64_t board_now_us(void)
{
    uint32_t counter = SYSTICK_CURRENT; /* counts down */
    uint32_t ticks = ((last_counter - counter) & COUNTER_MASK) + spare_ticks;
    last_counter = counter;
    elapsed_us += ticks / TICKS_PER_2_US * 2u;
    spare_ticks = ticks % TICKS_PER_2_US;
    return elapsed_us;
}

uint32_t board_entropy(void)
{
    return boots << 24 ^ SYSTICK_CURRENT;
}

struct oat_fifo *board_received(enum board_uart uart)
{
    return &received[uart];
}

bool board_send(enum board_uart uart, struct oat_fifo *fifo)
{
    uint32_t base = uart_base[uart];
    uint8_t byte;
    while ((UART_FLAGS(base) & UART_TRANSMIT_FULL) == 0) {
        if (!oat_fifo_pop(fifo, &byte))
            return true;
        UART_DATA(base) = byte;
    }
    return oat_fifo_used(fifo) == 0;
}

void board_sleep(void)
{
    /* Masked, an interrupt ends the sleep and is served afterwards: none can slip in between. */
    __asm__ volatile("cpsid i" ::: "memory");
    if (oat_fifo_used(&received[BOARD_HOST_UART]) == 0 &&
        oat_fifo_used(&received[BOARD_MOTOR_UART]) == 0)
        __asm__ volatile("dsb\n\twfi" ::: "memory");
    __asm__ volatile("cpsie i" ::: "memory");
}

/* Acknowledge first: a byte that comes while draining asks again. */
static void fetch(enum board_uart uart)
{
    uint32_t base = uart_base[uart];
    UART_INTERRUPT_CLEAR(base) = UART_RECEIVED;
    while ((UART_FLAGS(base) & UART_RECEIVE_EMPTY) == 0)
        (void)oat_fifo_push(&received[uart], (uint8_t)UART_DATA(base));
}

void board_host_uart_interrupt(void)
{
    fetch(BOARD_HOST_UART);
}

void board_motor_uart_interrupt(void)
{
    fetch(BOARD_MOTOR_UART);
}

void board_timer_interrupt(void)
{
    TIMER_INTERRUPT_CLEAR(TIMER0) = TIMER_A;
}
