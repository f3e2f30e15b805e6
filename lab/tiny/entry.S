/* The ways in, for PV, PVH and HVM, and what a loader has to know of them. */
#include <xen/elfnote.h>

/* All find every address where it is linked: virtual, physical and pseudo-physical are the same. */

.macro note type, value:vararg
    .pushsection .note.xen, "a", @note
    .balign 4
    .long 2f - 1f, 4f - 3f, \type
1:  .asciz "Xen"
2:  .balign 4
3:  \value
4:  .balign 4
    .popsection
.endm

note XEN_ELFNOTE_LOADER, .asciz "generic"
note XEN_ELFNOTE_XEN_VERSION, .asciz "xen-3.0"
note XEN_ELFNOTE_VIRT_BASE, .quad 0
note XEN_ELFNOTE_PADDR_OFFSET, .quad 0
note XEN_ELFNOTE_ENTRY, .quad pv_entry
note XEN_ELFNOTE_HYPERCALL_PAGE, .quad hypercall_page
note XEN_ELFNOTE_SUSPEND_CANCEL, .quad 1
note XEN_ELFNOTE_PHYS32_ENTRY, .long pvh_entry

/* HVM: the device model takes the file for a Linux kernel, of which it loads these sectors somewhere and the rest to 1M, where it is
   linked. They begin with the ELF header. In the file for PV and PVH they would only make the domain builder complain of an old kernel. */
#ifdef HVM
#define SECTORS 8
#define IN_FILE(symbol) (symbol - 0x100000 + SECTORS * 512)

.section .boot, "a", @progbits
.code16
    .byte SECTORS - 1
    .skip 12
    .word 0xaa55
    jmp boot
    .ascii "HdrS"
    .word 0x202                     /* the version, an old one: newer ones are of interest to the PV builder */
    .skip 9
    .byte 1                         /* the rest goes to 1M */
    .skip 22
command_line:
    .long 0
    .skip 0x268 - 0x22c             /* fields of newer versions, which the device model fills in all the same */
boot:
    cli
    mov IN_FILE(command_line), %ebx
    lgdtl IN_FILE(gdt_pointer_below)
    mov $1, %eax                    /* CR0.PE */
    mov %eax, %cr0
    ljmpl $0x10, $hvm_entry
gdt_pointer_below:
    .word gdt_end - gdt - 1
    .long gdt
.code64
#endif

.text
/* PV: 64-bit mode, on page tables of the builder's; %rsi is the address of start_info. */
.global pv_entry
pv_entry:
    mov $stack_top, %esp
    mov %rsi, %rdi
    call pv_main

.code32
#ifdef HVM
/* HVM: behind the sectors above; %ebx is the address of the command line. */
hvm_entry:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov $image_end, %edi
    mov $bss_end, %ecx
    sub %edi, %ecx
    xor %eax, %eax
    rep stosb
    mov $hvm_main, %ebp
    jmp 1f
#endif
/* PVH: 32-bit protected mode without paging; %ebx is the address of hvm_start_info. */
pvh_entry:
    mov $pvh_main, %ebp
1:  mov %cr4, %eax
    or $(1 << 5), %eax              /* CR4.PAE */
    mov %eax, %cr4
    mov $page_map, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx           /* EFER */
    rdmsr
    or $(1 << 8), %eax              /* EFER.LME */
    wrmsr
    mov %cr0, %eax
    or $(1 << 31), %eax             /* CR0.PG */
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $1f
.code64
1:  mov $stack_top, %esp
    mov %ebx, %edi
    call *%rbp

.data
.balign 8
gdt:
    .quad 0
    .quad 0x00209a0000000000        /* 64-bit code */
    .quad 0x00cf9a000000ffff        /* 32-bit code */
    .quad 0x00cf92000000ffff        /* data */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt

/* Four gigabytes, each address at itself, in pages of 2 MiB. */
.balign 4096
page_map:
    .quad page_pointers + 0x3
    .fill 511, 8, 0
page_pointers:
    .irp gigabyte, 0, 1, 2, 3
    .quad page_directories + \gigabyte * 4096 + 0x3
    .endr
    .fill 508, 8, 0
page_directories:
    .set address, 0
    .rept 4 * 512
    .quad address + 0x83
    .set address, address + (1 << 21)
    .endr

.bss
.balign 4096
/* Xen writes it: how to call Xen depends on the type of domain and of processor. */
.global hypercall_page
hypercall_page:
    .skip 4096
/* Xen's page takes the place of this one. */
.global shared_info
shared_info:
    .skip 4096
    .skip 8192
stack_top:

.section .note.GNU-stack, "", @progbits
