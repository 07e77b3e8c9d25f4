import { createTheme } from "@mantine/core";

export const theme = createTheme({
  fontFamily: "var(--font-ui)",
  fontFamilyMonospace: "var(--font-mono)",
  primaryColor: "blue",
  primaryShade: { light: 8, dark: 8 },
  defaultRadius: "sm",
  fontSizes: { xs: "12px", sm: "13px", md: "14px", lg: "16px", xl: "20px" },
  lineHeights: { xs: "18px", sm: "20px", md: "20px" },
  headings: { fontWeight: "620" },
  components: {
    Tooltip: { defaultProps: { openDelay: 300, withArrow: true, fz: "xs", events: { hover: true, focus: true, touch: true } } },
    Button: { defaultProps: { size: "compact-sm", variant: "default", fw: 550 } },
    ActionIcon: { defaultProps: { size: 28, variant: "subtle", color: "gray" } },
    Select: { defaultProps: { size: "xs", comboboxProps: { shadow: "md" } } },
    MultiSelect: { defaultProps: { size: "xs" } },
    TextInput: { defaultProps: { size: "xs" } },
    PasswordInput: { defaultProps: { size: "xs" } },
    NumberInput: { defaultProps: { size: "xs" } },
    Textarea: { defaultProps: { size: "xs" } },
    SegmentedControl: { defaultProps: { size: "xs" } },
    Checkbox: { defaultProps: { size: "xs" } },
    Switch: { defaultProps: { size: "xs" } },
    Menu: { defaultProps: { shadow: "md" } },
  },
});
